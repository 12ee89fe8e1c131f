"""The central registry's two acts on an arrived letter: register it (قيد) or return it (إعادة).

Both are written with the signed receipt that tells the sender, in one transaction. A letter is registered or
returned once; what is registered may still be returned, with its number kept. What is refused leaves no trace in the
transaction that it shares with others.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import Connection, select, update

from agency_adapter import numbers
from agency_adapter.mark import Mark
from agency_adapter.numbers import Direction
from agency_adapter.receipts import Answer, ReceiptDesk
from agency_adapter.store.tables import inbox
from broker.clock import Clock
from broker.writer import Writer
from schemas.errors import ErrorCode, Refused
from schemas.reasons import ReturnReason
from schemas.receipts import ReceiptEvent

Act = TypeVar("Act")
Done = TypeVar("Done")


@dataclass(frozen=True, slots=True)
class Registration:
    """A clerk's entry.

    Attributes:
        letter_id: which letter; with ``sender`` when two agencies' letters share an id.
        registered_by: post or user of the clerk, as the agency's system names it.
        incoming_no: the agency's own number, or None for one from the adapter's series.
        unit: to which organisational unit it goes.
        sender: see ``letter_id``.
    """

    letter_id: str
    registered_by: str
    incoming_no: str | None = None
    unit: str | None = None
    sender: str | None = None


@dataclass(frozen=True, slots=True)
class Return:
    """A clerk's refusal of the papers, with its coded reason."""

    letter_id: str
    returned_by: str
    reason: ReturnReason
    note: str | None = None
    sender: str | None = None


@dataclass(frozen=True, slots=True)
class Registered:
    """The answer to a registration. ``registered_at`` is Unix milliseconds."""

    letter_id: str
    sender: str
    incoming_no: str
    registered_at: int


@dataclass(frozen=True, slots=True)
class Returned:
    letter_id: str
    sender: str
    reason: ReturnReason
    returned_at: int


class Registry:
    """See the module's docstring."""

    def __init__(self, agency: str, writer: Writer, desk: ReceiptDesk, mark: Mark, clock: Clock) -> None:
        self._agency = agency
        self._writer = writer
        self._desk = desk
        self._mark = mark
        self._clock = clock

    async def register(self, registration: Registration) -> Registered:
        """Give the letter its incoming number and tell the sender.

        Raises:
            Refused: ``letter_not_found``, ``sender_ambiguous``, ``already_registered``, ``already_returned``,
                ``incoming_number_taken``.
        """
        return await self._writer.submit(self._register, registration)

    async def return_(self, act: Return) -> Returned:
        """Send the letter back and tell the sender why.

        Raises:
            Refused: ``letter_not_found``, ``sender_ambiguous``, ``already_returned``.
        """
        return await self._writer.submit(self._return, act)

    async def _register(self, connection: Connection, items: Sequence[Registration]) -> list[Registered | Refused]:
        return [await _apart(connection, item, self._register_one) for item in items]

    async def _register_one(self, connection: Connection, item: Registration) -> Registered:
        row = find_arrived(connection, item.letter_id, item.sender)
        if row.registered_at is not None:
            raise Refused(ErrorCode.ALREADY_REGISTERED, number=row.incoming_no)
        if row.returned_at is not None:
            raise Refused(ErrorCode.ALREADY_RETURNED)
        now = self._clock.unix_ms()
        year = numbers.year_of(self._clock.now())
        number, sequence = item.incoming_no, None
        if number is not None and _taken(connection, year, number):
            raise Refused(ErrorCode.INCOMING_NUMBER_TAKEN, pointer="/incoming_no", number=number, year=year)
        while number is None or (sequence is not None and _taken(connection, year, number)):
            sequence = numbers.take(connection, Direction.INCOMING, year, 1)[0]
            self._mark.reserve(Direction.INCOMING, year, sequence)
            number = numbers.written(self._agency, Direction.INCOMING, year, sequence)
        connection.execute(
            update(inbox)
            .where(inbox.c.seq == row.seq)
            .values(
                state="registered",
                year=year,
                incoming_no=number,
                incoming_sequence=sequence,
                registered_at=now,
                registered_by=item.registered_by,
                unit=item.unit,
            )
        )
        details = {"incoming_no": number, "registered_by": item.registered_by}
        if item.unit is not None:
            details["unit"] = item.unit
        await self._desk.issue(
            connection,
            [Answer(ReceiptEvent.REGISTERED, row.sender, row.letter_id, row.thread_id, row.digest, details)],
        )
        return Registered(row.letter_id, row.sender, number, now)

    async def _return(self, connection: Connection, items: Sequence[Return]) -> list[Returned | Refused]:
        return [await _apart(connection, item, self._return_one) for item in items]

    async def _return_one(self, connection: Connection, item: Return) -> Returned:
        row = find_arrived(connection, item.letter_id, item.sender)
        if row.returned_at is not None:
            raise Refused(ErrorCode.ALREADY_RETURNED)
        now = self._clock.unix_ms()
        connection.execute(
            update(inbox)
            .where(inbox.c.seq == row.seq)
            .values(
                state="returned",
                returned_at=now,
                returned_by=item.returned_by,
                return_reason=item.reason.value,
                note=item.note,
            )
        )
        details = {"reason": item.reason.value, "returned_by": item.returned_by}
        if item.note is not None:
            details["note"] = item.note
        await self._desk.issue(
            connection,
            [Answer(ReceiptEvent.RETURNED, row.sender, row.letter_id, row.thread_id, row.digest, details)],
        )
        return Returned(row.letter_id, row.sender, item.reason, now)


async def _apart(
    connection: Connection, item: Act, act: Callable[[Connection, Act], Awaitable[Done]]
) -> Done | Refused:
    """``act`` on ``item``; refused, it leaves no trace in the transaction that it shares with others."""
    try:
        with connection.begin_nested():
            return await act(connection, item)
    except Refused as refusal:
        return refusal


def find_arrived(connection: Connection, letter_id: str, sender: str | None) -> "Arrived":
    """The letter that arrived with this id, from ``sender`` when that is said.

    Raises:
        Refused: ``letter_not_found``; ``sender_ambiguous`` when there is more than one.
    """
    statement = select(
        inbox.c.seq,
        inbox.c.sender,
        inbox.c.letter_id,
        inbox.c.thread_id,
        inbox.c.digest,
        inbox.c.incoming_no,
        inbox.c.registered_at,
        inbox.c.returned_at,
    ).where(inbox.c.letter_id == letter_id)
    if sender is not None:
        statement = statement.where(inbox.c.sender == sender)
    rows = connection.execute(statement).all()
    if not rows:
        raise Refused(ErrorCode.LETTER_NOT_FOUND, id=letter_id)
    if len(rows) > 1:
        raise Refused(ErrorCode.SENDER_AMBIGUOUS, id=letter_id, senders=", ".join(row[1] for row in rows))
    return Arrived(*rows[0])


@dataclass(frozen=True, slots=True)
class Arrived:
    """A letter in the inbox, as far as an act needs to know it."""

    seq: int
    sender: str
    letter_id: str
    thread_id: str
    digest: str
    incoming_no: str | None
    registered_at: int | None
    returned_at: int | None


def _taken(connection: Connection, year: int, number: str) -> bool:
    return (
        connection.execute(select(inbox.c.seq).where(inbox.c.year == year, inbox.c.incoming_no == number)).scalar()
        is not None
    )
