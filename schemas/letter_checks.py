"""Checks of a letter by its type and the rules for all: strict for the API, tolerant on arrival."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from pydantic import ValidationError

from schemas.errors import ErrorCode, Refused
from schemas.hijri import agrees, hijri_of
from schemas.letter import Letter
from schemas.letter_request import LetterRequest
from schemas.letter_type import LetterType
from schemas.marks import MOST_DAYS, Secrecy, check_deadline, check_recipients
from schemas.text import require_fit_fields
from schemas.type_registry import letter_type
from schemas.validation import refusal_of, schema_invalid
from schemas.working_time import KUWAIT

FIELDS = "/content/fields"
LONGEST_LEAD = timedelta(minutes=5)
"""How far ahead a letter may be dated: what clocks differ by."""

_ENCRYPTED = frozenset({Secrecy.CONFIDENTIAL, Secrecy.SECRET})


def check_request(request: LetterRequest, sender: str, now: datetime | None = None) -> None:
    """Refuse what must not be sent, whoever the recipients are. Everything :func:`compose_letter` relies on.

    Args:
        request: through its model, which has judged each value and text by itself.
        sender: code of the sending agency.
        now: the instant of acceptance, aware; the system's clock if it is left out.

    Raises:
        Refused: ``type_unknown``, ``sender_not_allowed``, ``recipient_twice``, ``recipient_is_sender``,
            ``encryption_required``, ``attachments_not_available``, ``unknown_member``, ``schema_invalid``,
            ``checklist_incomplete``, ``deadline_out_of_range``, ``issued_in_future``, ``hijri_date_mismatch``
            and those of text, with the JSON pointer.
    """
    kind = letter_type(request.type)
    _check_sender(kind, sender)
    check_recipients(sender, [recipient.agency for recipient in request.recipients])
    if request.secrecy in _ENCRYPTED:
        raise Refused(ErrorCode.ENCRYPTION_REQUIRED, pointer="/secrecy", secrecy=request.secrecy.value)
    if request.content.attachments:
        raise Refused(ErrorCode.ATTACHMENTS_NOT_AVAILABLE, pointer="/content/attachments")
    fields = request.content.fields
    if fields or kind.fields.model_fields:
        try:
            kind.fields.model_validate(fields, extra="forbid")
        except ValidationError as error:
            raise refusal_of(error, FIELDS) from error
        require_fit_fields(fields, FIELDS)
    for item in kind.checklist:
        if not item.satisfied(request):
            raise Refused(
                ErrorCode.CHECKLIST_INCOMPLETE,
                pointer=item.pointer,
                item=item.code,
                item_ar=item.ar,
                item_en=item.en,
            )
    _check_dates(request, kind, now or datetime.now(UTC))


def check_letter(letter: Letter) -> None:
    """Judge a letter that arrived by its type. Unknown members are kept; the checklist is the sender's.

    Raises:
        Refused: ``type_unknown``, ``sender_not_allowed``, ``schema_invalid`` or ``civil_number_invalid``.
    """
    kind = letter_type(letter.type)
    _check_sender(kind, letter.sender.agency)
    if letter.content is not None:
        _read_fields(kind, letter.content.fields)


def _read_fields(kind: LetterType, fields: dict[str, Any]) -> None:
    try:
        kind.fields.model_validate(fields)
    except ValidationError as error:
        raise refusal_of(error, FIELDS) from error


def _check_sender(kind: LetterType, sender: str) -> None:
    if kind.allowed_senders is not None and sender not in kind.allowed_senders:
        raise Refused(ErrorCode.SENDER_NOT_ALLOWED, pointer="/type", agency=sender, type=kind.name)


def _check_dates(request: LetterRequest, kind: LetterType, now: datetime) -> None:
    if request.issued_at is not None and request.issued_at > now + LONGEST_LEAD:
        raise Refused(ErrorCode.ISSUED_IN_FUTURE, pointer="/issued_at")
    # Judged as they will be written: a deadline within the second of issue would be none.
    issued_at = (request.issued_at or now).replace(microsecond=0)
    if request.expires_at is not None:
        check_deadline(request.expires_at.replace(microsecond=0), issued_at)
    expires_at = request.expires_at or issued_at + timedelta(days=kind.default_deadline_days)
    if expires_at <= now:
        pointer = "/issued_at" if request.expires_at is None else "/expires_at"
        raise Refused(
            ErrorCode.DEADLINE_OUT_OF_RANGE,
            pointer=pointer,
            expires_at=expires_at.isoformat(),
            days=MOST_DAYS,
        )
    if request.reply is not None and request.reply.due_at is not None:
        _check_due_at(request.reply.due_at.replace(microsecond=0), issued_at, required=request.reply.required)
    if request.hijri_date is not None:
        _check_hijri(request.hijri_date, issued_at.astimezone(KUWAIT).date())


def _check_due_at(due_at: datetime, issued_at: datetime, *, required: bool) -> None:
    if required and due_at > issued_at:
        return
    place = "/reply/due_at"
    if required:
        raise schema_invalid(place, "يجب أن يقع بعد وقت الإصدار", "should lie after the time of issue")
    raise schema_invalid(place, "لا يُذكر إلا حيث يلزم الرد", "stands only where a reply is required")


def _check_hijri(hijri_date: str, day: date) -> None:
    if not agrees(hijri_date, day):
        raise Refused(
            ErrorCode.HIJRI_DATE_MISMATCH,
            pointer="/hijri_date",
            hijri_date=hijri_date,
            date=day.isoformat(),
            expected=hijri_of(day) or "—",
        )
