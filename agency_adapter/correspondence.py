"""What the API, the command line and every link style see of an adapter: letters out, letters in, and where they are.

Reads go to the store directly; acts go through :class:`~agency_adapter.acceptance.Acceptance` and
:class:`~agency_adapter.registry.Registry`, which answer after their commit.
"""

import base64
import binascii
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, Select, Table, select

from agency_adapter import numbers
from agency_adapter.acceptance import Acceptance, Accepted
from agency_adapter.acknowledgement import acknowledgement_due, owes_acknowledgement
from agency_adapter.directory_cache import DirectoryCache
from agency_adapter.numbers import Direction, Gap
from agency_adapter.registry import Registered, Registration, Registry, Return, Returned, find_arrived
from agency_adapter.store.tables import (
    inbox,
    incidents,
    letters,
    quarantine,
    receipts_received,
    transmissions,
)
from agency_adapter.timeline import TimelineEntry, incoming_steps, outgoing_steps
from agency_adapter.views import (
    IncidentEntry,
    IncomingLetter,
    OutgoingLetter,
    Page,
    Progress,
    QuarantineEntry,
    TransmissionView,
)
from broker.clock import Clock
from broker.relay import Relay
from schemas.delivery import TransmissionState
from schemas.envelope import LetterRequest
from schemas.errors import ErrorCode, Refused
from schemas.receipts import ReceiptEvent

LARGEST_PAGE = 200


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

    def letter(self, letter_id: str, sender: str | None = None) -> OutgoingLetter | IncomingLetter:
        """A letter of either direction: this agency's own, unless ``sender`` names another, else the one that arrived.

        Raises:
            Refused: ``letter_not_found``; ``sender_ambiguous`` when several arrived with this id.
        """
        with self._readings.connect() as connection:
            table, seq = self._find(connection, letter_id, sender)
            if table is letters:
                return self._outgoing(connection, connection.execute(_LETTER.where(letters.c.seq == seq)).all())[0]
            return _incoming(connection.execute(_INBOX.where(inbox.c.seq == seq)).one())

    def letter_jws(self, letter_id: str, sender: str | None = None) -> bytes:
        """The signed letter, byte for byte as it was signed or arrived.

        Raises:
            Refused: as :meth:`letter`.
        """
        with self._readings.connect() as connection:
            table, seq = self._find(connection, letter_id, sender)
            return bytes(connection.execute(select(table.c.letter_jws).where(table.c.seq == seq)).scalar_one())

    def timeline(self, letter_id: str, sender: str | None = None) -> list[TimelineEntry]:
        """Everything that is known to have happened to a letter, oldest first.

        Raises:
            Refused: as :meth:`letter`.
        """
        with self._readings.connect() as connection:
            table, seq = self._find(connection, letter_id, sender)
            steps = outgoing_steps if table is letters else incoming_steps
            return steps(connection, self.agency, seq)

    def _find(self, connection: Connection, letter_id: str, sender: str | None) -> tuple[Table, int]:
        """Where the letter stands, and its row."""
        if sender is None or sender == self.agency:
            own = connection.execute(select(letters.c.seq).where(letters.c.letter_id == letter_id)).scalar()
            if own is not None:
                return letters, own
        return inbox, find_arrived(connection, letter_id, sender).seq

    def outbox(
        self, *, cursor: str | None = None, limit: int = 50, state: TransmissionState | None = None
    ) -> Page[OutgoingLetter]:
        """Letters sent, newest first; with ``state``, those with a transmission in it.

        Raises:
            Refused: ``cursor_invalid``.
        """
        statement = _LETTER
        if state is not None:
            statement = statement.where(
                letters.c.seq.in_(select(transmissions.c.letter_seq).where(transmissions.c.state == state.value))
            )
        with self._readings.connect() as connection:
            rows, following = _part(connection, statement, letters, cursor, limit)
            return Page(tuple(self._outgoing(connection, rows)), following)

    def inbox(self, *, cursor: str | None = None, limit: int = 50, state: str | None = None) -> Page[IncomingLetter]:
        """Letters that arrived, newest first; with ``state`` (received, registered, returned…), those in it.

        Raises:
            Refused: ``cursor_invalid``.
        """
        statement = _INBOX if state is None else _INBOX.where(inbox.c.state == state)
        with self._readings.connect() as connection:
            rows, following = _part(connection, statement, inbox, cursor, limit)
        return Page(tuple(_incoming(row) for row in rows), following)

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
        with self._readings.connect() as connection:
            rows, following = _part(connection, select(*columns), quarantine, cursor, limit)
        return Page(tuple(QuarantineEntry(*_plain(row)) for row in rows), following)

    def incidents(self, *, cursor: str | None = None, limit: int = 50) -> Page[IncidentEntry]:
        """What the authority said about this agency's own account, newest first.

        Raises:
            Refused: ``cursor_invalid``.
        """
        i = incidents.c
        statement = select(i.seq, i.reason, i.digest, i.routing_key, i.seen_at, i.noticed_at, i.last_at, i.copies)
        with self._readings.connect() as connection:
            rows, following = _part(connection, statement, incidents, cursor, limit)
        return Page(tuple(IncidentEntry(*_plain(row)) for row in rows), following)

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
        types = {row[0]: row[2] for row in rows}
        returned = _returned(connection, [row[11] for row in rows])
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
                t.digest,
            )
            .where(t.letter_seq.in_(list(of_letter)))
            .order_by(t.seq)
        )
        for row in found:
            lane = self._relay.lanes.get(row.lane)
            full_since = lane.full_since if lane is not None and row.ended_at is None else None
            arrived_at = row.ended_at if row.state == TransmissionState.DELIVERED else None
            returned_at, return_reason = returned.get((row.digest, row.recipient), (None, None))
            of_letter[row.letter_seq].append(
                TransmissionView(
                    recipient=row.recipient,
                    role=row.role,
                    state=row.state,
                    reason=row.reason,
                    attempts=row.attempts,
                    sent_at=row.sent_at,
                    ended_at=row.ended_at,
                    registered_no=row.registered_no,
                    returned_at=returned_at,
                    return_reason=return_reason,
                    conflicts=row.conflicts,
                    waiting_since=int(full_since * 1000) if full_since is not None else None,
                    acknowledgement_due=acknowledgement_due(types[row.letter_seq], arrived_at, returned_at),
                )
            )
        return [
            OutgoingLetter(*(*row[1:], self._progress(row[2], of_letter[row[0]]), tuple(of_letter[row[0]])))
            for row in rows
        ]

    def _progress(self, kind: str, of: Sequence[TransmissionView]) -> Progress:
        now = self._clock.unix_ms()
        late = sum(
            each.acknowledgement_due is not None and each.registered_no is None and each.acknowledgement_due < now
            for each in of
        )
        return Progress(
            recipients=len(of),
            delivered=sum(each.state == TransmissionState.DELIVERED for each in of),
            registered=sum(each.registered_no is not None and each.returned_at is None for each in of),
            returned=sum(each.returned_at is not None for each in of),
            overdue=late if owes_acknowledgement(kind) else None,
        )


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


def _returned(connection: Connection, digests: Sequence[str]) -> dict[tuple[str, str], tuple[int, str | None]]:
    """By digest and recipient: when the recipient sent the letter back, and why. Its first word stands."""
    r = receipts_received.c
    rows = connection.execute(
        select(r.digest, r.recipient, r.occurred_at, r.reason)
        .where(r.digest.in_(digests), r.event == ReceiptEvent.RETURNED.value)
        .order_by(r.seq.desc())
    )
    return {(row.digest, row.recipient): (row.occurred_at, row.reason) for row in rows}


def _incoming(row: Any) -> IncomingLetter:
    due = acknowledgement_due(row.type, row.received_at, row.returned_at)
    return IncomingLetter(*(*_plain(row)[1:], due))


def _plain(row: Iterable[Any]) -> list[Any]:
    return list(row)


def _part(
    connection: Connection, statement: Select[Any], table: Table, cursor: str | None, limit: int
) -> tuple[Sequence[Any], str | None]:
    """Rows of ``table``, newest first, from ``cursor`` on; and the cursor of those that follow, or None.

    ``statement`` begins with ``seq``.
    """
    most = max(1, min(LARGEST_PAGE, limit))
    if cursor is not None:
        statement = statement.where(table.c.seq < _position(cursor))
    rows = connection.execute(statement.order_by(table.c.seq.desc()).limit(most + 1)).all()
    return rows[:most], _cursor(rows[most - 1][0]) if len(rows) > most else None


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
