"""From a checked request to the payload that is signed: what the sender left out is filled in here."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from pydantic import BaseModel

from schemas.hijri import hijri_of
from schemas.letter_request import LetterRequest
from schemas.letter_type import LetterType
from schemas.type_registry import letter_type
from schemas.working_time import KUWAIT, REPLY_CLOCKS


def compose_letter(
    request: LetterRequest,
    *,
    letter_id: str,
    outgoing_no: str,
    sender_agency: str,
    issued_at: datetime,
    thread_id: str,
) -> dict[str, Any]:
    """The claims of the letter, as they will be signed. Never refuses what ``check_request`` let through.

    Args:
        request: checked.
        letter_id: UUIDv7, new.
        outgoing_no: registry number.
        sender_agency: code of the agency.
        issued_at: aware; whole seconds are kept, in Kuwait's time.
        thread_id: of the conversation; ``letter_id`` for the first letter of one.
    """
    kind = letter_type(request.type)
    issued = issued_at.astimezone(KUWAIT)
    content = request.content
    claims: dict[str, Any] = {
        "id": letter_id,
        "type": request.type,
        "sender": {"agency": sender_agency, **_present(request.sender)},
        "recipients": [_present(recipient) for recipient in request.recipients],
        "outgoing_no": outgoing_no,
        "thread_id": thread_id,
        "references": [_present(reference) for reference in request.references],
        "issued_at": _written(issued),
        "expires_at": _written(request.expires_at or issued + timedelta(days=kind.default_deadline_days)),
        "secrecy": request.secrecy.value,
        "data_class": request.data_class.value,
        "urgency": request.urgency.value,
        "action": request.action.value,
        "paper_original": request.paper_original,
        "retention_class": request.retention_class or kind.retention_class,
        "reply": _reply(request, kind, issued),
        "content": {
            "subject": content.subject,
            "body": content.body,
            "fields": content.fields,
            "signatories": [_present(signatory) for signatory in content.signatories],
            "attachments": [],
        },
    }
    hijri_date = request.hijri_date or hijri_of(issued.date())
    if hijri_date is not None:
        claims["hijri_date"] = hijri_date
    return claims


def _reply(request: LetterRequest, kind: LetterType, issued: datetime) -> dict[str, Any]:
    required = kind.reply_required if request.reply is None else request.reply.required
    if not required:
        return {"required": False}
    due_at = request.reply.due_at if request.reply is not None else None
    if due_at is None:
        due_at = (kind.reply_deadline or REPLY_CLOCKS[request.urgency]).after(issued)
    return {"required": True, "due_at": _written(due_at)}


def _present(part: BaseModel) -> dict[str, Any]:
    """The members of a flat part that have a value, in the order of the model."""
    return {name: _plain(value) for name, value in part if value not in (None, ())}


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return list(value)
    return value.value if isinstance(value, StrEnum) else value


def _written(instant: datetime) -> str:
    return instant.astimezone(KUWAIT).isoformat(timespec="seconds")
