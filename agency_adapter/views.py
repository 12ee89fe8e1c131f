"""Letters, quarantine and incidents as they are shown: by the API, the command line and every link style."""

from dataclasses import dataclass
from typing import Generic, TypeVar

Entry = TypeVar("Entry")


@dataclass(frozen=True, slots=True)
class TransmissionView:
    """One letter to one recipient, as the sender sees it. Times are Unix milliseconds.

    ``waiting_since`` is set while the recipient's mailbox refuses letters, ``acknowledgement_due`` once a letter has
    arrived whose type owes a registration, unless it was sent back: then ``returned_at`` and ``return_reason`` are.
    """

    recipient: str
    role: str
    state: str
    reason: str | None
    attempts: int
    sent_at: int | None
    ended_at: int | None
    registered_no: str | None
    returned_at: int | None
    return_reason: str | None
    conflicts: int
    waiting_since: int | None
    acknowledgement_due: int | None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a letter has come: of ``recipients``, how many have received, have registered and have returned it.

    One that was registered and then sent back counts as returned alone. ``overdue``: how many registrations are owed
    whose time is over; None for a type that owes none.
    """

    recipients: int
    delivered: int
    registered: int
    returned: int
    overdue: int | None


@dataclass(frozen=True, slots=True)
class OutgoingLetter:
    letter_id: str
    type: str
    subject: str
    outgoing_no: str
    thread_id: str
    urgency: str
    secrecy: str
    issued_at: int
    accepted_at: int
    expires_at: int
    digest: str
    progress: Progress
    transmissions: tuple[TransmissionView, ...]


@dataclass(frozen=True, slots=True)
class IncomingLetter:
    sender: str
    letter_id: str
    type: str
    subject: str
    outgoing_no: str
    thread_id: str
    role: str
    urgency: str
    secrecy: str
    issued_at: int
    received_at: int
    digest: str
    state: str
    incoming_no: str | None
    registered_at: int | None
    registered_by: str | None
    unit: str | None
    returned_at: int | None
    returned_by: str | None
    return_reason: str | None
    note: str | None
    acknowledgement_due: int | None


@dataclass(frozen=True, slots=True)
class QuarantineEntry:
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
    received_at: int
    last_at: int
    copies: int
    size: int


@dataclass(frozen=True, slots=True)
class IncidentEntry:
    """What the authority says came through this agency's own account."""

    seq: int
    reason: str
    digest: str
    routing_key: str
    seen_at: int
    noticed_at: int
    last_at: int
    copies: int


@dataclass(frozen=True, slots=True)
class Page(Generic[Entry]):
    """A part of a listing, newest first; ``next`` is the cursor of the following part, or None."""

    items: tuple[Entry, ...]
    next: str | None
