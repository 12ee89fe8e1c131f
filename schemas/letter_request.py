"""What the local API takes: strict. Unknown members are refused; the adapter fills in what is left out."""

import re
from datetime import date, datetime
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    StrictBool,
    ValidationError,
)
from pydantic_core import PydanticCustomError

from schemas.marks import (
    MOST_RECIPIENTS,
    RFC3339_PATTERN,
    Action,
    AgencyCode,
    DataClass,
    Identifier,
    IsoDate,
    RecipientRole,
    Relation,
    RetentionClass,
    Secrecy,
    Urgency,
)
from schemas.text import PlainLine, RunningText, Subject
from schemas.validation import refusal_of
from schemas.working_time import KUWAIT

_RFC3339 = re.compile(RFC3339_PATTERN)


def _instant(value: object) -> object:
    """RFC 3339 with offset; numbers and the library's looser spellings are not taken for instants."""
    if isinstance(value, datetime) or (isinstance(value, str) and _RFC3339.fullmatch(value)):
        return value
    raise PydanticCustomError("datetime_type", "should be an RFC 3339 date and time with its offset")


def _expressible(value: datetime) -> datetime:
    """The letter writes every instant in Kuwait's time; at the ends of the calendar there is none."""
    try:
        value.astimezone(KUWAIT)
    except OverflowError as error:
        raise PydanticCustomError("datetime_parsing", "lies outside the calendar in Kuwait's time") from error
    return value


def _day(value: str) -> str:
    try:
        date.fromisoformat(value)
    except ValueError as error:
        raise PydanticCustomError("date_parsing", "is no day of the calendar") from error
    return value


Instant = Annotated[AwareDatetime, BeforeValidator(_instant), AfterValidator(_expressible)]
Day = Annotated[IsoDate, AfterValidator(_day)]


class Api(BaseModel):
    """Base of what the API takes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SenderRequest(Api):
    """The agency itself is known from the settings."""

    unit: PlainLine | None = None
    post: PlainLine | None = None


class RecipientRequest(Api):
    agency: AgencyCode
    units: Annotated[tuple[PlainLine, ...], Field(max_length=50), FailFast()] = ()
    post: PlainLine | None = None
    role: RecipientRole = RecipientRole.TO


class ReferenceRequest(Api):
    agency: AgencyCode
    outgoing_no: PlainLine
    date: Day
    relation: Relation = Relation.REFERS_TO


class ReplyDemand(Api):
    """``due_at`` left out: from the type and the urgency."""

    required: StrictBool
    due_at: Instant | None = None


class SignatoryRequest(Api):
    post: PlainLine
    name: PlainLine | None = None
    delegation: PlainLine | None = None


class ContentRequest(Api):
    """``attachments`` must be empty: this release has no vault."""

    subject: Subject
    body: RunningText
    fields: dict[str, Any] = Field(default_factory=dict)
    signatories: Annotated[tuple[SignatoryRequest, ...], Field(max_length=10), FailFast()] = ()
    attachments: Annotated[tuple[dict[str, Any], ...], Field(max_length=50), FailFast()] = ()


class LetterRequest(Api):
    """A letter to be sent.

    Defaults: type ``letter.general/1``, secrecy NORMAL, data class RESTRICTED (a letter is public only if
    somebody says so), urgency ROUTINE, action FOR_ACTION, retention from the type; the number, dates and
    ``thread_id`` are given by the adapter.
    """

    type: Annotated[str, Field(min_length=1, max_length=80)] = "letter.general/1"
    sender: SenderRequest = SenderRequest()
    recipients: Annotated[tuple[RecipientRequest, ...], Field(min_length=1, max_length=MOST_RECIPIENTS), FailFast()]
    outgoing_no: PlainLine | None = None
    thread_id: Identifier | None = None
    references: Annotated[tuple[ReferenceRequest, ...], Field(max_length=50), FailFast()] = ()
    issued_at: Instant | None = None
    hijri_date: Annotated[str, Field(pattern=r"^1[345][0-9]{2}-[01][0-9]-[0-3][0-9]$")] | None = None
    expires_at: Instant | None = None
    secrecy: Secrecy = Secrecy.NORMAL
    data_class: DataClass = DataClass.RESTRICTED
    urgency: Urgency = Urgency.ROUTINE
    action: Action = Action.FOR_ACTION
    paper_original: StrictBool = False
    retention_class: RetentionClass | None = None
    reply: ReplyDemand | None = None
    content: ContentRequest


def parse_request(claims: dict[str, Any]) -> LetterRequest:
    """Read what a caller of the local API sent (already through the strict JSON reader).

    Raises:
        Refused: ``unknown_member``, ``schema_invalid``, ``text_forbidden_character`` or ``text_not_nfc``,
        with the
            JSON pointer of the first offending member.
    """
    try:
        return LetterRequest.model_validate(claims)
    except ValidationError as error:
        raise refusal_of(error) from error
