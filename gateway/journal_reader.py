"""Reading the journal stream: every message is recorded exactly once, whatever crashes.

The rows of a batch and the offset of its last message are one transaction. A stream gives no promise beyond order: its
offsets skip, a truncated one silently begins at its first message, a re-created one delivers nothing at all. So the
reader begins *at* the stored offset, and the first message must be the one that it recorded last:

* it is: that one is passed over, the rest is new;
* a later offset comes first: the stream was truncated under us. A gap is recorded, and reading goes on;
* another message stands at the stored offset, or nothing comes and the stream ends before it: it was re-created. A
  gap is recorded, the next *incarnation* begins, and it is read from its first message.

A gap is never closed by itself; it stays a red check until somebody has acknowledged it
(:mod:`gateway.journal_gaps`).
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import Connection, func, insert, select, update

from broker.clock import Clock
from broker.consuming import Delivery, Subscription
from broker.frames import OFFSET_HEADER
from broker.names import JOURNAL
from broker.writer import Writer
from gateway.journal import JournalMessage, read_message
from gateway.lease import Lease, LeaseLost
from gateway.store.tables import journal, journal_gaps, journal_position, journal_tokens
from schemas.errors import Refused

FIRST = "first"
TRUNCATED = "truncated"
RECREATED = "re-created"
SILENCE_SECONDS = 10.0
"""After so long without the stored message it is asked where the stream ends."""
BREATH_BYTES = 256 * 1024
"""After taking apart so much the loop gets its turn: a batch of the largest messages takes a minute, and a holder that
does not renew its lease for so long loses it, upon which another would take the same batch."""

_log = structlog.get_logger("journal")


@dataclass(frozen=True, slots=True)
class Position:
    """How far the stream has been recorded: offset and digest of the newest message, if there is one."""

    incarnation: int
    offset: int | None = None
    message_digest: str | None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """Where the stream did not go on at the stored message. ``kind``: ``truncated`` or ``re-created``."""

    kind: str
    incarnation: int
    after_offset: int
    first_offset: int | None


@dataclass(frozen=True, slots=True)
class _Batch:
    messages: Sequence[JournalMessage]
    gap: Gap | None
    before: Position


class WrongBeginning(Exception):  # noqa: N818 - not an error of ours: the session begins anew
    """The session has begun at another place of the stream than it should."""


class JournalReader:
    """Records the journal while this process holds its lease.

    Args:
        writer: of the authority's store.
        lease: of this work.
        clock: for times of recording.
    """

    def __init__(self, writer: Writer, lease: Lease, clock: Clock) -> None:
        self._writer = writer
        self._lease = lease
        self._clock = clock
        self._first_seen = asyncio.Event()
        self.position = Position(1)
        self.recorded = 0

    @property
    def subscription(self) -> Subscription:
        return Subscription((JOURNAL,), self.receive, self._arguments)

    async def begin(self) -> None:
        """Take up where the store stands; after the lease was taken, before the session starts."""
        self.position = await self._writer.submit(self._load, None)

    async def receive(self, batch: Sequence[Delivery]) -> None:
        """Record a batch; returns after the commit.

        Raises:
            WrongBeginning: the session shall begin anew: the stream is another one than the one recorded so far, or
                the store stands elsewhere.
            LeaseLost: another process records now.
        """
        begun = self._first_seen.is_set()
        if not begun:
            # A session that was lost during a commit was not told of it, and the next one has begun too early.
            asked_from = self.position
            await self.begin()
            if self.position != asked_from:
                raise WrongBeginning
        before = self.position
        messages: list[JournalMessage] = []
        unrelieved = 0
        for delivery in batch:
            messages.append(read_message(delivery))
            unrelieved += len(delivery.body)
            if unrelieved >= BREATH_BYTES:
                unrelieved = 0
                await asyncio.sleep(0)
        if before.offset is not None:
            # The broker may give a whole chunk, with what lies before the offset that was asked for.
            messages = [each for each in messages if each.offset >= before.offset]
        if not messages:
            return
        gap = None if begun else self._compare(messages[0])
        if gap is not None and gap.kind == RECREATED:
            await self.recreate(gap)
            raise WrongBeginning
        fresh = [each for each in messages if each.offset != before.offset]
        if fresh:
            self.position = await self._writer.submit(self._record, _Batch(fresh, gap, before))
            self.recorded += len(fresh)
        # Only now: a batch that could not be written comes again, and its gap with it.
        self._first_seen.set()

    async def recreate(self, gap: Gap) -> None:
        """Begin the next incarnation of the stream."""
        _log.error("journal_gap", kind=gap.kind, after=gap.after_offset, first=gap.first_offset)
        self.position = await self._writer.submit(self._begin_incarnation, gap)

    async def watch_silence(
        self, ends_at: Callable[[], Awaitable[int | None]], begin_anew: Callable[[str], None]
    ) -> None:
        """Once a session has begun: if the stored message does not come, find out whether its stream is still there.

        Args:
            ends_at: asks the broker for the stream's last offset; None when the stream is empty.
            begin_anew: ends this life of the session.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SILENCE_SECONDS):
                await self._first_seen.wait()
        before = self.position
        offset = before.offset
        if self._first_seen.is_set() or offset is None:
            return
        try:
            last = await ends_at()
        except Exception as error:  # noqa: BLE001 - the broker cannot be asked: the session finds out the same way
            _log.warning("journal_end_unknown", error=repr(error))
            begin_anew("the stored message of the journal does not come")
            return
        if self._first_seen.is_set() or self.position != before:
            return
        if last is not None and last >= offset:
            _log.warning("journal_slow", offset=offset, last=last)
            begin_anew("the stored message of the journal does not come")
            return
        try:
            await self.recreate(Gap(RECREATED, before.incarnation, offset, None))
        except (Refused, LeaseLost) as error:
            # The next life of the session finds it out again.
            _log.warning("journal_gap_not_written", error=repr(error))
        begin_anew("the journal stream was re-created")

    def _arguments(self) -> Mapping[str, Any]:
        self._first_seen.clear()
        return {OFFSET_HEADER: FIRST if self.position.offset is None else self.position.offset}

    def _compare(self, first: JournalMessage) -> Gap | None:
        position = self.position
        if position.offset is None:
            return None
        if first.offset == position.offset:
            known = first.message_digest == position.message_digest
            return None if known else Gap(RECREATED, position.incarnation, position.offset, first.offset)
        gap = Gap(TRUNCATED, position.incarnation, position.offset, first.offset)
        _log.error("journal_gap", kind=gap.kind, after=gap.after_offset, first=gap.first_offset)
        return gap

    # Transactions

    async def _load(self, connection: Connection, items: Sequence[None]) -> list[Position]:
        row = connection.execute(
            select(
                journal_position.c.incarnation, journal_position.c.stream_offset, journal_position.c.message_digest
            ).order_by(journal_position.c.incarnation.desc())
        ).first()
        if row is None:
            connection.execute(insert(journal_position).values(incarnation=1))
        return [Position(*row) if row is not None else Position(1)] * len(items)

    async def _record(self, connection: Connection, batches: Sequence[_Batch]) -> list[Position]:
        self._lease.require(connection)
        now = self._clock.unix_ms()
        positions: list[Position] = []
        for batch in batches:
            incarnation = batch.before.incarnation
            if batch.gap is not None:
                _note_gap(connection, batch.gap, now)
            connection.execute(insert(journal), [_row(incarnation, each, now) for each in batch.messages])
            connection.execute(
                insert(journal_tokens),
                [row for each in batch.messages for row in _token_rows(incarnation, each)],
            )
            last = batch.messages[-1]
            position = Position(incarnation, last.offset, last.message_digest)
            _move(connection, batch.before, position)
            positions.append(position)
        return positions

    async def _begin_incarnation(self, connection: Connection, gaps: Sequence[Gap]) -> list[Position]:
        self._lease.require(connection)
        gap = gaps[-1]
        _note_gap(connection, gap, self._clock.unix_ms())
        connection.execute(insert(journal_position).values(incarnation=gap.incarnation + 1))
        return [Position(gap.incarnation + 1)] * len(gaps)


def _move(connection: Connection, before: Position, after: Position) -> None:
    """Compare and set: nobody else has moved the position."""
    moved = connection.execute(
        update(journal_position)
        .where(
            journal_position.c.incarnation == before.incarnation,
            journal_position.c.stream_offset.is_not_distinct_from(before.offset),
        )
        .values(stream_offset=after.offset, message_digest=after.message_digest)
    ).rowcount
    if moved != 1:
        raise RuntimeError(f"the journal's position is not {before.incarnation}/{before.offset}")


def _note_gap(connection: Connection, gap: Gap, now: int) -> None:
    last = connection.execute(select(func.max(journal_gaps.c.seq))).scalar() or 0
    connection.execute(
        insert(journal_gaps).values(
            seq=last + 1,
            kind=gap.kind,
            incarnation=gap.incarnation,
            after_offset=gap.after_offset,
            first_offset=gap.first_offset,
            noted_at=now,
        )
    )


def _row(incarnation: int, message: JournalMessage, now: int) -> dict[str, object]:
    return {
        "incarnation": incarnation,
        "stream_offset": message.offset,
        "exchange": message.exchange,
        "routing_key": message.routing_key,
        "publisher": message.publisher,
        "kind": message.kind.value,
        "recorded_at": now,
        "statement_jws": message.statement,
        "body": message.body,
    }


def _token_rows(incarnation: int, message: JournalMessage) -> list[dict[str, object]]:
    return [
        {
            "incarnation": incarnation,
            "stream_offset": message.offset,
            "position": position,
            "digest": token.digest,
            "type": token.type,
            "routing_key": message.routing_key,
            "publisher": message.publisher,
            "about": token.about,
        }
        for position, token in enumerate(message.tokens)
    ]
