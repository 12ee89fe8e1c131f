"""What the API answers. Times are RFC 3339 with Kuwait's offset; codes are those of the letter itself."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from agency_adapter import views as view
from agency_adapter.api.moments import moment, moment_or_none
from agency_adapter.timeline import TimelineEntry as TimelineStep


class Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


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
    sent_at: str | None
    ended_at: str | None
    registered_no: str | None
    returned_at: str | None
    return_reason: str | None
    conflicts: int
    waiting_since: str | None
    acknowledgement_due: str | None


class OutgoingLetter(Answer):
    direction: Literal["outgoing"] = "outgoing"
    id: str
    type: str
    subject: str
    outgoing_no: str
    thread_id: str
    urgency: str
    secrecy: str
    issued_at: str
    accepted_at: str
    expires_at: str
    digest: str
    progress: view.Progress
    transmissions: tuple[Transmission, ...]


class IncomingLetter(Answer):
    direction: Literal["incoming"] = "incoming"
    id: str
    sender: str
    type: str
    subject: str
    outgoing_no: str
    thread_id: str
    role: str
    urgency: str
    secrecy: str
    issued_at: str
    received_at: str
    digest: str
    state: str
    incoming_no: str | None
    registered_at: str | None
    registered_by: str | None
    unit: str | None
    returned_at: str | None
    returned_by: str | None
    return_reason: str | None
    note: str | None
    acknowledgement_due: str | None


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

    at: str
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
    received_at: str
    last_at: str
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
    seen_at: str
    noticed_at: str
    last_at: str
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


def outgoing_letter(letter: view.OutgoingLetter) -> OutgoingLetter:
    return OutgoingLetter(
        id=letter.letter_id,
        type=letter.type,
        subject=letter.subject,
        outgoing_no=letter.outgoing_no,
        thread_id=letter.thread_id,
        urgency=letter.urgency,
        secrecy=letter.secrecy,
        issued_at=moment(letter.issued_at),
        accepted_at=moment(letter.accepted_at),
        expires_at=moment(letter.expires_at),
        digest=letter.digest,
        progress=letter.progress,
        transmissions=tuple(
            Transmission(
                recipient=each.recipient,
                role=each.role,
                state=each.state,
                reason=each.reason,
                attempts=each.attempts,
                sent_at=moment_or_none(each.sent_at),
                ended_at=moment_or_none(each.ended_at),
                registered_no=each.registered_no,
                returned_at=moment_or_none(each.returned_at),
                return_reason=each.return_reason,
                conflicts=each.conflicts,
                waiting_since=moment_or_none(each.waiting_since),
                acknowledgement_due=moment_or_none(each.acknowledgement_due),
            )
            for each in letter.transmissions
        ),
    )


def incoming_letter(letter: view.IncomingLetter) -> IncomingLetter:
    return IncomingLetter(
        id=letter.letter_id,
        sender=letter.sender,
        type=letter.type,
        subject=letter.subject,
        outgoing_no=letter.outgoing_no,
        thread_id=letter.thread_id,
        role=letter.role,
        urgency=letter.urgency,
        secrecy=letter.secrecy,
        issued_at=moment(letter.issued_at),
        received_at=moment(letter.received_at),
        digest=letter.digest,
        state=letter.state,
        incoming_no=letter.incoming_no,
        registered_at=moment_or_none(letter.registered_at),
        registered_by=letter.registered_by,
        unit=letter.unit,
        returned_at=moment_or_none(letter.returned_at),
        returned_by=letter.returned_by,
        return_reason=letter.return_reason,
        note=letter.note,
        acknowledgement_due=moment_or_none(letter.acknowledgement_due),
    )


def timeline_entry(entry: TimelineStep) -> TimelineEntry:
    return TimelineEntry(
        at=moment(entry.at),
        event=entry.event,
        party=entry.party,
        recipient=entry.recipient,
        reason=entry.reason,
        number=entry.number,
        by=entry.by,
        note=entry.note,
        conflict=entry.conflict,
    )


def quarantine_entry(entry: view.QuarantineEntry) -> QuarantineEntry:
    return QuarantineEntry(
        seq=entry.seq,
        reason=entry.reason,
        explanation=entry.explanation,
        authentic=entry.authentic,
        stage=entry.stage,
        publisher=entry.publisher,
        claimed_sender=entry.claimed_sender,
        letter_id=entry.letter_id,
        digest=entry.digest,
        exchange=entry.exchange,
        routing_key=entry.routing_key,
        received_at=moment(entry.received_at),
        last_at=moment(entry.last_at),
        copies=entry.copies,
        size=entry.size,
    )


def incident_entry(entry: view.IncidentEntry) -> IncidentEntry:
    return IncidentEntry(
        seq=entry.seq,
        reason=entry.reason,
        digest=entry.digest,
        routing_key=entry.routing_key,
        seen_at=moment(entry.seen_at),
        noticed_at=moment(entry.noticed_at),
        last_at=moment(entry.last_at),
        copies=entry.copies,
    )
