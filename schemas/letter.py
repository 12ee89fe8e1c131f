"""The letter as it travels: tolerant.

On the wire, members that this release does not know are kept and ignored, at every level: newer and older
adapters talk to each other. Nothing here is ever written back: the signed bytes are the letter, a model is a
view of them. Dates keep the spelling of the bytes; properties give them as instants.
"""

from datetime import date, datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, FailFast, Field, StrictBool, StrictInt, ValidationError

from schemas.marks import (
    MOST_RECIPIENTS,
    Action,
    AgencyCode,
    DataClass,
    Digest,
    Identifier,
    IsoDate,
    RecipientRole,
    Relation,
    RetentionClass,
    Secrecy,
    Timestamp,
    Urgency,
    check_deadline,
    check_recipients,
)
from schemas.text import WireLine, WireSubject, WireText
from schemas.validation import refusal_of, schema_invalid


class Wire(BaseModel):
    """Base of what travels: unknown members are kept."""

    model_config = ConfigDict(extra="allow", frozen=True)


class Sender(Wire):
    agency: AgencyCode
    unit: WireLine | None = None
    post: WireLine | None = None


class Recipient(Wire):
    agency: AgencyCode
    units: Annotated[tuple[WireLine, ...], Field(max_length=50), FailFast()] = ()
    post: WireLine | None = None
    role: RecipientRole


class Reference(Wire):
    """A letter that this one speaks of, as it is printed: «إشارة إلى كتابكم رقم … المؤرخ …»."""

    agency: AgencyCode
    outgoing_no: WireLine
    date: IsoDate
    relation: Relation


class ReplyRequest(Wire):
    required: StrictBool
    due_at: Timestamp | None = None

    @property
    def due_at_instant(self) -> datetime | None:
        return None if self.due_at is None else datetime.fromisoformat(self.due_at)


class Signatory(Wire):
    """Who signed, by post; ``delegation`` names the basis when it is a delegate."""

    post: WireLine
    name: WireLine | None = None
    delegation: WireLine | None = None


class Attachment(Wire):
    """A manifest entry: the bytes are an encrypted object in the vault and never pass the broker."""

    name: WireLine
    media_type: Annotated[str, Field(pattern=r"^[a-z0-9.+-]+/[a-z0-9.+-]+$", max_length=100)]
    size: Annotated[StrictInt, Field(ge=0)]
    sha256: Digest
    key: Annotated[str, Field(min_length=1, max_length=200)]


class Content(Wire):
    """What the letter says. ``fields`` are the type's own; see :mod:`schemas.types`."""

    subject: WireSubject
    body: WireText
    fields: dict[str, Any] = Field(default_factory=dict)
    signatories: Annotated[tuple[Signatory, ...], Field(max_length=10), FailFast()] = ()
    attachments: Annotated[tuple[Attachment, ...], Field(max_length=50), FailFast()] = ()


class Letter(Wire):
    """The payload of a letter token."""

    id: Identifier
    type: Annotated[str, Field(max_length=80)]
    sender: Sender
    recipients: Annotated[tuple[Recipient, ...], Field(min_length=1, max_length=MOST_RECIPIENTS), FailFast()]
    outgoing_no: WireLine
    thread_id: Identifier
    references: Annotated[tuple[Reference, ...], Field(max_length=50), FailFast()] = ()
    issued_at: Timestamp
    hijri_date: WireLine | None = None
    expires_at: Timestamp
    secrecy: Secrecy
    data_class: DataClass
    urgency: Urgency
    action: Action
    paper_original: StrictBool
    retention_class: RetentionClass
    reply: ReplyRequest
    content: Content | None = None
    encrypted: dict[str, Any] | None = None

    @property
    def issued_at_instant(self) -> datetime:
        return datetime.fromisoformat(self.issued_at)

    @property
    def expires_at_instant(self) -> datetime:
        return datetime.fromisoformat(self.expires_at)


def parse_letter(claims: dict[str, Any]) -> Letter:
    """Read a letter's payload as it travels; unknown members are kept and ignored. About 20 µs for 4 KB.

    Whether the type is known, and its fields, is :func:`schemas.letter_checks.check_letter`'s.

    Raises:
        Refused: ``schema_invalid``, ``recipient_twice``, ``recipient_is_sender`` or
        ``deadline_out_of_range``, with
            the JSON pointer of the first offending member.
    """
    try:
        letter = Letter.model_validate(claims)
    except ValidationError as error:
        raise refusal_of(error) from error
    if (letter.content is None) == (letter.encrypted is None):
        raise schema_invalid("/content", "يُذكر واحد فقط من content وencrypted", "exactly one of content and encrypted")
    check_recipients(letter.sender.agency, [recipient.agency for recipient in letter.recipients])
    _check_days(letter)
    return letter


def _check_days(letter: Letter) -> None:
    """The patterns admit days and hours that no calendar has; the properties must not meet them later."""
    place = "/issued_at"
    try:
        issued_at = letter.issued_at_instant
        place = "/expires_at"
        expires_at = letter.expires_at_instant
        place = "/reply/due_at"
        _ = letter.reply.due_at_instant
        for index, reference in enumerate(letter.references):
            place = f"/references/{index}/date"
            date.fromisoformat(reference.date)
    except ValueError as error:
        raise schema_invalid(place, "لا وجود لهذا اليوم أو الوقت", "no such day or hour") from error
    check_deadline(expires_at, issued_at)
