"""What the API answers. Times are RFC 3339 with Kuwait's offset; codes are those of the letter itself."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field

from agency_adapter import views as view
from agency_adapter.api.moments import written


class Answer(BaseModel):
    """Made from the attributes of what :mod:`agency_adapter.views` shows, or from its own."""

    model_config = ConfigDict(frozen=True, extra="forbid", from_attributes=True)


Moment = Annotated[str, BeforeValidator(written)]
"""An instant, from Unix milliseconds."""

_LetterId = Annotated[str, Field(validation_alias=AliasChoices("letter_id", "id"))]


class LetterAccepted(Answer):
    """The letter is stored and signed; from here on it ends, for each recipient, in one terminal outcome."""

    id: Annotated[str, Field(description="UUIDv7, the letter's identity everywhere.")]
    outgoing_no: str
    digest: Annotated[str, Field(description="SHA-256 of the JWS signing input, 64 hex digits.")]


class Transmission(Answer):
    """One letter to one recipient. ``waiting_since``: the recipient's mailbox has been full since then.

    ``acknowledgement_due``: until when the recipient, which has the letter, is to register it; null when its type owes
    no registration, and once the recipient has sent it back (``returned_at``, ``return_reason``).
    """

    recipient: str
    role: str
    state: str
    reason: str | None
    attempts: int
    sent_at: Moment | None
    ended_at: Moment | None
    registered_no: str | None
    returned_at: Moment | None
    return_reason: str | None
    conflicts: int
    waiting_since: Moment | None
    acknowledgement_due: Moment | None


class OutgoingLetter(Answer):
    direction: Literal["outgoing"] = "outgoing"
    id: _LetterId
    type: str
    subject: str
    outgoing_no: str
    thread_id: str
    urgency: str
    secrecy: str
    issued_at: Moment
    accepted_at: Moment
    expires_at: Moment
    digest: str
    progress: view.Progress
    transmissions: tuple[Transmission, ...]


class IncomingLetter(Answer):
    direction: Literal["incoming"] = "incoming"
    id: _LetterId
    sender: str
    type: str
    subject: str
    outgoing_no: str
    thread_id: str
    role: str
    urgency: str
    secrecy: str
    issued_at: Moment
    received_at: Moment
    digest: str
    state: str
    incoming_no: str | None
    registered_at: Moment | None
    registered_by: str | None
    unit: str | None
    returned_at: Moment | None
    returned_by: str | None
    return_reason: str | None
    note: str | None
    acknowledgement_due: Moment | None


_SIGNED = "The signed payload, as it was read from the signed bytes. Members of a later release stand here too."
_UNKNOWN = "JSON Pointers of members of ``letter`` that this release does not understand."


class WholeOutgoingLetter(OutgoingLetter):
    letter: Annotated[Mapping[str, Any], Field(description=_SIGNED)]
    not_understood: Annotated[tuple[str, ...], Field(description=_UNKNOWN)]


class WholeIncomingLetter(IncomingLetter):
    letter: Annotated[Mapping[str, Any], Field(description=_SIGNED)]
    not_understood: Annotated[tuple[str, ...], Field(description=_UNKNOWN)]


class TimelineEntry(Answer):
    """One step. ``party`` is who says so; ``recipient`` whose copy it is about; ``by`` the clerk.

    ``number`` is the outgoing number where the letter begins, the incoming one where it was registered. ``conflict``:
    the receipt says something else than the outcome that stands.
    """

    at: Moment
    event: str
    party: str
    recipient: str | None
    reason: str | None
    number: str | None
    by: str | None
    note: str | None
    conflict: bool


class Timeline(Answer):
    id: str
    entries: tuple[TimelineEntry, ...]


class OutboxPage(Answer):
    """Newest first; ``next`` is the cursor of the following page, or null."""

    items: tuple[OutgoingLetter, ...]
    next: str | None


class InboxPage(Answer):
    """Newest first; ``next`` is the cursor of the following page, or null."""

    items: tuple[IncomingLetter, ...]
    next: str | None


class QuarantineEntry(Answer):
    """A message that was put aside, never dropped."""

    seq: int
    reason: str
    explanation: str
    authentic: bool
    stage: str
    publisher: str | None
    claimed_sender: str | None
    letter_id: str | None
    digest: str | None
    exchange: str
    routing_key: str
    received_at: Moment
    last_at: Moment
    copies: int
    size: int


class QuarantinePage(Answer):
    """Newest first; ``next`` is the cursor of the following page, or null."""

    items: tuple[QuarantineEntry, ...]
    next: str | None


class IncidentEntry(Answer):
    """Something that came through this agency's own account and was not authentic, as the authority says."""

    seq: int
    reason: str
    digest: str
    routing_key: str
    seen_at: Moment
    noticed_at: Moment
    last_at: Moment
    copies: int


class IncidentPage(Answer):
    """Newest first; ``next`` is the cursor of the following page, or null."""

    items: tuple[IncidentEntry, ...]
    next: str | None


class LetterRegistered(Answer):
    id: str
    sender: str
    incoming_no: str
    registered_at: str


class LetterReturned(Answer):
    id: str
    sender: str
    reason: str
    returned_at: str


class NumberGap(Answer):
    """Numbers of the adapter's own series that no letter bears, ``first`` and ``last`` included."""

    first: str
    last: str
    count: int


class NumberGaps(Answer):
    direction: Literal["outgoing", "incoming"]
    year: int
    gaps: tuple[NumberGap, ...]


class DirectoryEntry(Answer):
    code: str
    name_ar: str
    name_en: str
    status: str
    accepted_types: Annotated[tuple[str, ...], Field(description="Empty: every registered type.")]


class DirectoryListing(Answer):
    """The directory as the adapter knows it now."""

    version: int
    valid_until: str
    agencies: tuple[DirectoryEntry, ...]


class Live(Answer):
    live: Literal[True] = True
    version: str


class Dependency(Answer):
    """Something the adapter cannot work without. ``code`` and the texts say why it is not there."""

    name: str
    ok: bool
    code: str | None
    detail: str | None
    text: str | None
    text_ar: str | None


class Ready(Answer):
    ready: bool
    version: str
    checks: tuple[Dependency, ...]
