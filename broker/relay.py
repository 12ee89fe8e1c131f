"""The relay: takes rows from the outboxes and sees them through the broker.

At the end of each transaction of its store it looks for lanes (a lane is a routing key: one recipient, one urgency)
that have something due and room in their window, and claims a chunk of rows for each: what is written is claimed by
the commit that writes it. After the commit each chunk becomes a delivery. Deliveries run side by side, up to
:data:`WINDOW` messages for each lane and :data:`MOST_IN_FLIGHT` in all. One loop has the store looked at when nobody
writes: when something becomes due, when there is room again for what waits, when the session is there.

Each lane has a *breaker*. When the broker refuses a publish the recipient's mailbox is full: the breaker opens, what
was refused waits again, and from then on one message at a time is tried, with back-off, until one is confirmed. Every
other lane goes on as if nothing had happened. Each probe is a publish like any other and stands in the journal.

What an outcome means for the row: *confirmed* marks it; *refused* and *lost* make it pending again, at its old place.
A row is thus published at least once, and the recipient, which knows every letter by its digest, makes that exactly
once. An *unsendable* message is a fault of ours: its rows wait an hour, so that they hold up nobody, and the log says
so each time.

A store that cannot be written for now (``Refused``) is waited for, by the loop and by what is to be marked. Anything
unforeseen, in the loop or in a delivery, is told by :attr:`Relay.failed`: a relay that died in silence would hold every
letter back.
"""

import asyncio
import contextlib
import math
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import structlog
from sqlalchemy import Connection

from broker import outbox
from broker.clock import Clock
from broker.kill_points import passage
from broker.life import Life
from broker.outbox import OutboxSource
from broker.publishing import Outcome, Outgoing
from broker.session import Session, SessionState
from broker.writer import AfterCommit, Writer
from schemas.errors import Refused

WINDOW = 384
"""Messages in flight for one lane."""

CHUNK = 128
"""Rows claimed, published and marked together."""

MOST_IN_FLIGHT = 1024
MOST_BYTES_PER_CHUNK = 2 * 1024 * 1024
LEASE_SECONDS = 120.0
LONGEST_PROBE_WAIT_SECONDS = 60.0
SHORTEST_PROBE_WAIT_SECONDS = 1.0
IDLE_POLL_SECONDS = 5.0
UNSENDABLE_WAIT_SECONDS = 3600.0

_log = structlog.get_logger("relay")
_dice = random.SystemRandom()


@dataclass(slots=True)
class Lane:
    """Window and breaker of one routing key.

    Attributes:
        in_flight: messages published and unanswered.
        full_since: Unix time since when the mailbox refuses, or None.
        refusals: in a row; drives the back-off.
        next_probe: monotonic time of the next try while the breaker is open.
        claimed_at: monotonic time of the last claim; who has waited longest is next.
    """

    in_flight: int = 0
    full_since: float | None = None
    refusals: int = 0
    next_probe: float = 0.0
    claimed_at: float = 0.0

    def room(self, now: float) -> int:
        """How many rows may be claimed for this lane at monotonic time ``now``."""
        if self.full_since is not None:
            return 1 if self.in_flight == 0 and now >= self.next_probe else 0
        return max(0, min(CHUNK, WINDOW - self.in_flight))

    @property
    def probing(self) -> bool:
        """Whether what is published now is a probe."""
        return self.full_since is not None

    def refused(self, now: float, wall: float, jitter: float, *, probe: bool) -> None:
        """The mailbox is full: open the breaker, or after a ``probe`` wait longer before the next one."""
        if self.full_since is None:
            self.full_since = wall
        elif not probe:
            # Published before the breaker opened: no news.
            return
        wait = min(LONGEST_PROBE_WAIT_SECONDS, SHORTEST_PROBE_WAIT_SECONDS * 2 ** min(self.refusals, 10))
        self.refusals += 1
        self.next_probe = now + wait * (0.5 + jitter / 2)

    def confirmed(self, *, probe: bool) -> None:
        """After a ``probe``: the mailbox takes letters again. Otherwise it took one before it was full: no news."""
        if probe:
            self.full_since = None
            self.refusals = 0


@dataclass(frozen=True, slots=True)
class _Claimed:
    """A chunk of one lane, ours once the transaction has been committed."""

    source: OutboxSource
    lane: str
    messages: Sequence[Outgoing]


class Relay:
    """See the module's docstring.

    Args:
        session: over which to publish.
        writer: of the store that holds the outboxes.
        sources: the outboxes, the most urgent first.
        clock: for due times and leases.
    """

    def __init__(self, session: Session, writer: Writer, sources: Sequence[OutboxSource], clock: Clock) -> None:
        self._session = session
        self._writer = writer
        self._sources = tuple(sources)
        self._clock = clock
        self._look_at = 0.0  # on the clock's monotonic time, if nobody writes before
        self._sooner = asyncio.Event()
        self._life = Life("relay")
        self._deliveries: set[asyncio.Task[None]] = set()
        self._following = False
        self._stopping = False
        self._waits_until = 0.0
        self._behind = False
        self.lanes: dict[str, Lane] = {}
        self.published = 0
        self.confirmed = 0
        self.refused = 0
        self.lost = 0

    def start(self) -> None:
        self._session.on_change.append(lambda _: self._look_again())
        self._writer.add_follower(self)
        self._following = True
        self._life.begin(self._run())

    @property
    def failed(self) -> asyncio.Future[None]:
        """Done, with the exception, once the relay can publish no longer; see :mod:`broker.life`."""
        return self._life.failed

    async def stop(self) -> None:
        """Claim nothing more, wait for the answers to what is in flight."""
        self._stopping = True
        self._look_again()
        await self._life.over()
        if self._following:
            # What a transaction under way has claimed becomes a delivery when it is over.
            with contextlib.suppress(Refused):
                await self._writer.look()
            self._writer.remove_follower(self)
        if self._deliveries:
            await asyncio.wait(self._deliveries)

    async def _run(self) -> None:
        while not self._stopping:
            now = self._clock.monotonic()
            if now < self._look_at:
                self._sooner.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._look_at - now):
                        await self._sooner.wait()
                continue
            self._look_at = now + IDLE_POLL_SECONDS
            try:
                if self._may_claim():
                    await self._writer.look()
            except Refused as refusal:
                self._wait_for_the_store(refusal)

    def _may_claim(self) -> bool:
        ready = self._session.state is SessionState.READY and self._clock.monotonic() >= self._waits_until
        return ready and not self._stopping

    def _look_again(self, at: float = 0.0) -> None:
        """Have the store looked at, now or ``at`` a monotonic time."""
        self._look_at = min(self._look_at, at)
        self._sooner.set()

    def _wait_for_the_store(self, refusal: Refused) -> None:
        _log.warning("relay_waits", code=refusal.code)
        self._waits_until = self._clock.monotonic() + SHORTEST_PROBE_WAIT_SECONDS
        self._look_again(self._waits_until)

    def follow(self, connection: Connection) -> AfterCommit | None:
        """Claim what can be published now; see :class:`broker.writer.Follower`."""
        if not self._may_claim():
            return None
        claimed = self._claim(connection)
        return (lambda: self._begin(claimed)) if claimed else None

    def follow_failed(self, error: Exception) -> None:
        """Nothing was claimed; see :class:`broker.writer.Follower`."""
        if isinstance(error, Refused):
            self._wait_for_the_store(error)
        else:
            self._waits_until = math.inf
            self._life.fail(error)

    def _claim(self, connection: Connection) -> list[_Claimed]:
        now, unix = self._clock.monotonic(), self._clock.unix_ms()
        free = MOST_IN_FLIGHT - sum(lane.in_flight for lane in self.lanes.values())
        taken: Counter[str] = Counter()
        claimed: list[_Claimed] = []
        self._behind = False
        for source in self._sources:
            heads = outbox.lane_heads(connection, source.table)
            lanes = [(head, self.lanes.setdefault(head.lane, Lane())) for head in heads if head.due_at <= unix]
            for head in heads:
                if head.due_at > unix:
                    self._look_again(now + (head.due_at - unix) / 1000)
            wanted: list[tuple[str, list[int]]] = []
            # In turn: when there is no room for all, a backlog of some lanes would keep out the others.
            for head, lane in sorted(lanes, key=lambda each: each[1].claimed_at):
                # Two outboxes may share a lane; they share its window and its one probe too.
                room = min(lane.room(now) - taken[head.lane], free)
                if room <= 0:
                    self._wait_for_room(lane, now)
                    continue
                lane.claimed_at = now
                rows = room * (1 if lane.probing else source.most_per_message)
                keys = outbox.due_keys(connection, source.table, head, most=rows, now=unix)
                self._behind |= len(keys) == rows
                messages = -(-len(keys) // source.most_per_message)
                free -= messages
                taken[head.lane] += messages
                wanted.append((head.lane, keys))
            claimed += self._claim_rows(connection, source, wanted)
        return claimed

    def _wait_for_room(self, lane: Lane, now: float) -> None:
        if lane.probing and lane.next_probe > now:
            self._look_again(lane.next_probe)
        else:
            self._behind = True

    def _claim_rows(
        self, connection: Connection, source: OutboxSource, wanted: Sequence[tuple[str, list[int]]]
    ) -> Iterator[_Claimed]:
        lease = self._clock.unix_ms() + int(LEASE_SECONDS * 1000)
        for part in _parts(wanted):
            keys = [key for _name, rows in part for key in rows]
            outbox.claim(connection, source.table, keys, lease_until=lease)
            by_lane: dict[str, list[Outgoing]] = {}
            for message in source.load(connection, keys):
                by_lane.setdefault(message.routing_key, []).append(message)
            for name, _rows in part:
                yield _Claimed(source, name, self._as_many_as_may_travel(connection, source, by_lane[name]))

    def _as_many_as_may_travel(
        self, connection: Connection, source: OutboxSource, messages: Sequence[Outgoing]
    ) -> Sequence[Outgoing]:
        """Those of a lane's messages that are not too many bytes together; the others wait again."""
        size = 0
        for at, message in enumerate(messages):
            size += len(message.body)
            if at and size > MOST_BYTES_PER_CHUNK:
                outbox.unclaim(connection, source.table, [key for each in messages[at:] for key in each.keys])
                self._behind = True
                return messages[:at]
        return messages

    def _begin(self, claimed: Sequence[_Claimed]) -> None:
        # A probe may take long to be answered: nothing else is to wait for it.
        together = [each for each in claimed if not self.lanes[each.lane].probing]
        probes = [[each] for each in claimed if self.lanes[each.lane].probing]
        for part in [together, *probes] if together else probes:
            for each in part:
                self.lanes[each.lane].in_flight += len(each.messages)
            task = asyncio.get_running_loop().create_task(self._deliver(part))
            self._deliveries.add(task)
            task.add_done_callback(self._delivered)
        if self._behind:
            self._look_again()

    def _delivered(self, task: asyncio.Task[None]) -> None:
        self._deliveries.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._life.fail(error)

    async def _deliver(self, claimed: Sequence[_Claimed]) -> None:
        """Publish chunks of different lanes together, and write down what became of them."""
        for each in claimed:
            if each.source.claimed_point is not None:
                passage(each.source.claimed_point)
        messages = [message for each in claimed for message in each.messages]
        self.published += len(messages)
        probes = [self.lanes[each.lane].probing for each in claimed]
        try:
            outcomes = await self._session.publish(messages, lambda: self._written(claimed))
        finally:
            for each in claimed:
                self.lanes[each.lane].in_flight -= len(each.messages)
            if self._behind:
                self._look_again()
        self.confirmed += outcomes.count(Outcome.CONFIRMED)
        self.refused += outcomes.count(Outcome.REFUSED)
        self.lost += outcomes.count(Outcome.LOST)
        answers = iter(outcomes)
        keys: dict[OutboxSource, dict[Outcome, list[int]]] = {}
        for each, probe in zip(claimed, probes, strict=True):
            by_outcome = keys.setdefault(each.source, {outcome: [] for outcome in Outcome})
            found = list(islice(answers, len(each.messages)))
            for message, outcome in zip(each.messages, found, strict=True):
                by_outcome[outcome] += message.keys
            self._judge_mailbox(each.lane, found, probe=probe)
        for source, by_outcome in keys.items():
            await self._settle_when_possible(source, by_outcome)

    def _judge_mailbox(self, name: str, outcomes: Sequence[Outcome], *, probe: bool) -> None:
        lane = self.lanes[name]
        if Outcome.REFUSED in outcomes:
            if lane.full_since is None:
                _log.warning("mailbox_full", lane=name)
            lane.refused(self._clock.monotonic(), self._clock.unix(), _dice.random(), probe=probe)
        elif Outcome.CONFIRMED in outcomes:
            if probe:
                _log.info("mailbox_open", lane=name)
            lane.confirmed(probe=probe)

    @staticmethod
    def _written(claimed: Sequence[_Claimed]) -> None:
        for each in claimed:
            if each.source.published_point is not None:
                passage(each.source.published_point)

    async def _settle_when_possible(self, source: OutboxSource, keys: dict[Outcome, list[int]]) -> None:
        """Write what became of the rows; those of which nothing could be written by the stop stay claimed."""
        while True:
            try:
                return await self._settle(source, keys)
            except Refused as refusal:
                _log.error("delivery_not_marked", code=refusal.code)
                if self._stopping:
                    return None
            await asyncio.sleep(SHORTEST_PROBE_WAIT_SECONDS)

    async def _settle(self, source: OutboxSource, keys: dict[Outcome, list[int]]) -> None:
        if keys[Outcome.CONFIRMED]:
            if source.confirmed_point is not None:
                passage(source.confirmed_point)
            await self._writer.submit(self._mark_confirmed, (source, keys[Outcome.CONFIRMED]), patient=True)
        for outcome in (Outcome.REFUSED, Outcome.LOST, Outcome.UNSENDABLE):
            if keys[outcome]:
                await self._writer.submit(self._mark_released, (source, outcome, keys[outcome]))

    async def _mark_confirmed(
        self, connection: Connection, items: Sequence[tuple[OutboxSource, list[int]]]
    ) -> list[None]:
        now = self._clock.unix_ms()
        for source, keys in items:
            source.confirm(connection, keys, now)
        return [None] * len(items)

    async def _mark_released(
        self, connection: Connection, items: Sequence[tuple[OutboxSource, Outcome, list[int]]]
    ) -> list[None]:
        much_later = self._clock.unix_ms() + int(UNSENDABLE_WAIT_SECONDS * 1000)
        for source, outcome, keys in items:
            due_at = much_later if outcome is Outcome.UNSENDABLE else None
            outbox.release(connection, source.table, keys, due_at=due_at)
        return [None] * len(items)


def _parts(wanted: Sequence[tuple[str, list[int]]]) -> Iterator[list[tuple[str, list[int]]]]:
    """``wanted`` in parts of about :data:`CHUNK` rows: so many bodies are in memory at once."""
    part: list[tuple[str, list[int]]] = []
    size = 0
    for each in wanted:
        if part and size + len(each[1]) > CHUNK:
            yield part
            part, size = [], 0
        part.append(each)
        size += len(each[1])
    if size:
        yield part
