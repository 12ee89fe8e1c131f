"""What the API, the command line and every link style see of an adapter: letters out, letters in, and where they are.

Reads go to the store directly; acts go through :class:`~agency_adapter.acceptance.Acceptance` and
:class:`~agency_adapter.registry.Registry`, which answer after their commit.
"""

import base64
import binascii
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, Engine, select

from agency_adapter import numbers
from agency_adapter.acceptance import Acceptance, Accepted
from agency_adapter.directory_cache import DirectoryCache
from agency_adapter.numbers import Direction, Gap
from agency_adapter.registry import Registered, Registration, Registry, Return, Returned
from agency_adapter.store.tables import (
    inbox,
    incidents,
    letters,
    quarantine,
    transmissions,
)
from agency_adapter.timeline import TimelineEntry, timeline_of
from broker.clock import Clock
from broker.relay import Relay
from schemas.delivery import TransmissionState
from schemas.envelope import LetterRequest
from schemas.errors import ErrorCode, Refused

LARGEST_PAGE = 200

Entry = TypeVar("Entry")


@dataclass(frozen=True, slots=True)
class TransmissionView:
    """One letter to one recipient, as the sender sees it. Times are Unix milliseconds.

    ``waiting_since`` is set while the recipient's mailbox refuses letters.
    """

    recipient: str
    role: str
    state: str
    reason: str | None
    attempts: int
    sent_at: int | None
    ended_at: int | None
    registered_no: str | None
    conflicts: int
    waiting_since: int | None


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


class Correspondence:
    """See the module's docstring."""

    def __init__(
        self,
        agency: str,
        readings: Engine,
        acceptance: Acceptance,
        registry: Registry,
        directory: DirectoryCache,
        relay: Relay,
        clock: Clock,
    ) -> None:
        self.agency = agency
        self.directory = directory
        self._readings = readings
        self._acceptance = acceptance
        self._registry = registry
        self._relay = relay
        self._clock = clock

    async def send(self, request: LetterRequest, idempotency_key: str | None = None) -> Accepted:
        """Accept a letter; see :meth:`agency_adapter.acceptance.Acceptance.accept`."""
        return await self._acceptance.accept(request, idempotency_key)

    async def register(self, registration: Registration) -> Registered:
        return await self._registry.register(registration)

    async def return_(self, act: Return) -> Returned:
        return await self._registry.return_(act)

    def letter(self, letter_id: str) -> OutgoingLetter | IncomingLetter:
        """A letter of either direction.

        Raises:
            Refused: ``letter_not_found``.
        """
        with self._readings.connect() as connection:
            row = connection.execute(_LETTER.where(letters.c.letter_id == letter_id)).one_or_none()
            if row is not None:
                return self._outgoing(connection, [row])[0]
            arrived = connection.execute(_INBOX.where(inbox.c.letter_id == letter_id).limit(1)).one_or_none()
            if arrived is not None:
                return IncomingLetter(*_plain(arrived)[1:])
        raise Refused(ErrorCode.LETTER_NOT_FOUND, id=letter_id)

    def letter_jws(self, letter_id: str) -> bytes:
        """The signed letter, byte for byte as it was signed or arrived.

        Raises:
            Refused: ``letter_not_found``.
        """
        with self._readings.connect() as connection:
            for table in (letters, inbox):
                found = connection.execute(
                    select(table.c.letter_jws).where(table.c.letter_id == letter_id).limit(1)
                ).scalar()
                if found is not None:
                    return bytes(found)
        raise Refused(ErrorCode.LETTER_NOT_FOUND, id=letter_id)

    def timeline(self, letter_id: str) -> list[TimelineEntry]:
        """Everything that is known to have happened to a letter, oldest first.

        Raises:
            Refused: ``letter_not_found``.
        """
        with self._readings.connect() as connection:
            entries = timeline_of(connection, self.agency, letter_id)
        if not entries:
            raise Refused(ErrorCode.LETTER_NOT_FOUND, id=letter_id)
        return entries

    def outbox(
        self, *, cursor: str | None = None, limit: int = 50, state: TransmissionState | None = None
    ) -> Page[OutgoingLetter]:
        """Letters sent, newest first; with ``state``, those with a transmission in it.

        Raises:
            Refused: ``cursor_invalid``.
        """
        statement = _LETTER.order_by(letters.c.seq.desc()).limit(_bounded(limit) + 1)
        if cursor is not None:
            statement = statement.where(letters.c.seq < _position(cursor))
        if state is not None:
            statement = statement.where(
                letters.c.seq.in_(select(transmissions.c.letter_seq).where(transmissions.c.state == state.value))
            )
        with self._readings.connect() as connection:
            rows = connection.execute(statement).all()
            part = rows[: _bounded(limit)]
            items = self._outgoing(connection, part)
        return Page(tuple(items), _cursor(part[-1][0]) if len(rows) > len(part) else None)

    def inbox(self, *, cursor: str | None = None, limit: int = 50, state: str | None = None) -> Page[IncomingLetter]:
        """Letters that arrived, newest first; with ``state`` (received, registered, returned…), those in it.

        Raises:
            Refused: ``cursor_invalid``.
        """
        statement = _INBOX.order_by(inbox.c.seq.desc()).limit(_bounded(limit) + 1)
        if cursor is not None:
            statement = statement.where(inbox.c.seq < _position(cursor))
        if state is not None:
            statement = statement.where(inbox.c.state == state)
        with self._readings.connect() as connection:
            rows = connection.execute(statement).all()
        part = rows[: _bounded(limit)]
        return Page(
            tuple(IncomingLetter(*_plain(row)[1:]) for row in part),
            _cursor(part[-1][0]) if len(rows) > len(part) else None,
        )

    def quarantine(self, *, cursor: str | None = None, limit: int = 50) -> Page[QuarantineEntry]:
        """What was put aside, newest first.

        Raises:
            Refused: ``cursor_invalid``.
        """
        q = quarantine.c
        columns = [
            q.seq, q.reason, q.explanation, q.authentic == 1, q.stage, q.publisher, q.claimed_sender, q.letter_id,
            q.digest, q.exchange, q.routing_key, q.received_at, q.last_at, q.copies, q.size,
        ]  # fmt: skip
        statement = select(*columns).order_by(q.seq.desc()).limit(_bounded(limit) + 1)
        if cursor is not None:
            statement = statement.where(q.seq < _position(cursor))
        with self._readings.connect() as connection:
            rows = connection.execute(statement).all()
        part = rows[: _bounded(limit)]
        items = tuple(QuarantineEntry(*_plain(row)) for row in part)
        return Page(items, _cursor(part[-1][0]) if len(rows) > len(part) else None)

    def incidents(self, *, cursor: str | None = None, limit: int = 50) -> Page[IncidentEntry]:
        """What the authority said about this agency's own account, newest first.

        Raises:
            Refused: ``cursor_invalid``.
        """
        i = incidents.c
        statement = select(i.seq, i.reason, i.digest, i.routing_key, i.seen_at, i.noticed_at, i.last_at, i.copies)
        statement = statement.order_by(i.seq.desc()).limit(_bounded(limit) + 1)
        if cursor is not None:
            statement = statement.where(i.seq < _position(cursor))
        with self._readings.connect() as connection:
            rows = connection.execute(statement).all()
        part = rows[: _bounded(limit)]
        items = tuple(IncidentEntry(*_plain(row)) for row in part)
        return Page(items, _cursor(part[-1][0]) if len(rows) > len(part) else None)

    def this_year(self) -> int:
        """The registry year now."""
        return numbers.year_of(self._clock.now())

    def number_gaps(self, direction: Direction, year: int | None = None) -> list[Gap]:
        """Numbers of the adapter's series that no letter bears, in ``year`` (this year unless told)."""
        with self._readings.connect() as connection:
            return numbers.gaps(connection, self.agency, direction, year or self.this_year())

    def _outgoing(self, connection: Connection, rows: Sequence[Any]) -> list[OutgoingLetter]:
        t = transmissions.c
        of_letter: dict[int, list[TransmissionView]] = {row[0]: [] for row in rows}
        found = connection.execute(
            select(
                t.letter_seq,
                t.recipient,
                t.role,
                t.state,
                t.reason,
                t.attempts,
                t.sent_at,
                t.ended_at,
                t.registered_no,
                t.conflicts,
                t.lane,
            )
            .where(t.letter_seq.in_(list(of_letter)))
            .order_by(t.seq)
        )
        for row in found:
            lane = self._relay.lanes.get(row[10])
            full_since = lane.full_since if lane is not None and row[7] is None else None
            waiting_since = int(full_since * 1000) if full_since is not None else None
            of_letter[row[0]].append(TransmissionView(*(*row[1:10], waiting_since)))
        return [OutgoingLetter(*(*row[1:], tuple(of_letter[row[0]]))) for row in rows]


_LETTER = select(
    letters.c.seq,
    letters.c.letter_id,
    letters.c.type,
    letters.c.subject,
    letters.c.outgoing_no,
    letters.c.thread_id,
    letters.c.urgency,
    letters.c.secrecy,
    letters.c.issued_at,
    letters.c.accepted_at,
    letters.c.expires_at,
    letters.c.digest,
)
_INBOX = select(
    inbox.c.seq,
    inbox.c.sender,
    inbox.c.letter_id,
    inbox.c.type,
    inbox.c.subject,
    inbox.c.outgoing_no,
    inbox.c.thread_id,
    inbox.c.role,
    inbox.c.urgency,
    inbox.c.secrecy,
    inbox.c.issued_at,
    inbox.c.received_at,
    inbox.c.digest,
    inbox.c.state,
    inbox.c.incoming_no,
    inbox.c.registered_at,
    inbox.c.registered_by,
    inbox.c.unit,
    inbox.c.returned_at,
    inbox.c.returned_by,
    inbox.c.return_reason,
    inbox.c.note,
)


def _plain(row: Iterable[Any]) -> list[Any]:
    return list(row)


def _bounded(limit: int) -> int:
    return max(1, min(LARGEST_PAGE, limit))


def _cursor(seq: int) -> str:
    return base64.urlsafe_b64encode(f"s{seq}".encode()).decode().rstrip("=")


def _position(cursor: str) -> int:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except (binascii.Error, ValueError) as error:
        raise Refused(ErrorCode.CURSOR_INVALID) from error
    if not text.startswith("s") or not text[1:].isdecimal() or len(text) > 19:  # noqa: PLR2004 - more than a row has
        raise Refused(ErrorCode.CURSOR_INVALID)
    return int(text[1:])
