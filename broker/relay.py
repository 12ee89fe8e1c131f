"""The relay: takes rows from the outboxes and sees them through the broker.

One loop looks for lanes (a lane is a routing key: one recipient, one urgency) that have something due and room in
their window, claims a chunk of rows for each in turn, and starts a delivery. Deliveries run side by side, up to
:data:`WINDOW` messages for each lane and :data:`MOST_IN_FLIGHT` in all.

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
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError

from broker import outbox
from broker.clock import Clock
from broker.kill_points import passage
from broker.life import Life
from broker.outbox import OutboxSource
from broker.publishing import Outcome, Outgoing
from broker.session import Session, SessionState
from broker.writer import Writer
from schemas.errors import ErrorCode, Refused

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
class _Claim:
    source: OutboxSource
    lane: str
    most: int


class Relay:
    """See the module's docstring.

    Args:
        session: over which to publish.
        writer: of the store that holds the outboxes.
        readings: an engine on the same store for looking without a transaction.
        sources: the outboxes, the most urgent first.
        clock: for due times and leases.
    """

    def __init__(
        self, session: Session, writer: Writer, readings: Engine, sources: Sequence[OutboxSource], clock: Clock
    ) -> None:
        self._session = session
        self._writer = writer
        self._readings = readings
        self._sources = tuple(sources)
        self._clock = clock
        self._wake = asyncio.Event()
        self._life = Life("relay")
        self._deliveries: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._looked_at = 0.0
        self.lanes: dict[str, Lane] = {}
        self.published = 0
        self.confirmed = 0
        self.refused = 0
        self.lost = 0

    def start(self) -> None:
        self._session.on_change.append(lambda _: self._wake.set())
        self._life.begin(self._run())

    @property
    def failed(self) -> asyncio.Future[None]:
        """Done, with the exception, once the relay can publish no longer; see :mod:`broker.life`."""
        return self._life.failed

    def wake(self) -> None:
        """Something was committed to an outbox."""
        self._wake.set()

    async def stop(self) -> None:
        """Claim nothing more, wait for the answers to what is in flight."""
        self._stopping = True
        self._wake.set()
        await self._life.over()
        if self._deliveries:
            await asyncio.wait(self._deliveries)

    async def _run(self) -> None:
        while not self._stopping:
            self._wake.clear()
            try:
                if self._session.state is SessionState.READY and await self._round():
                    continue
                patience = self._patience()
            except Refused as refusal:
                _log.warning("relay_waits", code=refusal.code)
                await asyncio.sleep(SHORTEST_PROBE_WAIT_SECONDS)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await self._wake.wait()

    async def _round(self) -> bool:
        """Claim and start what can be started; True if anything was."""
        claims = self._possible_claims()
        if not claims:
            return False
        found = await asyncio.gather(
            *(self._writer.submit(self._claim, claim) for claim in claims), return_exceptions=True
        )
        started = False
        errors: list[BaseException] = []
        for claim, messages in zip(claims, found, strict=True):
            if isinstance(messages, BaseException):
                # What the others claimed is ours already: left aside it would wait for the next start.
                errors.append(messages)
            elif messages:
                started = True
                lane = self.lanes[claim.lane]
                lane.in_flight += len(messages)
                task = asyncio.get_running_loop().create_task(self._deliver(claim, lane, messages))
                self._deliveries.add(task)
                task.add_done_callback(self._delivered)
        if errors:
            raise errors[0]
        return started

    def _delivered(self, task: asyncio.Task[None]) -> None:
        self._deliveries.discard(task)
        self._wake.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._life.fail(error)

    def _possible_claims(self) -> list[_Claim]:
        now, claims = self._clock.monotonic(), []
        self._looked_at = now
        free = MOST_IN_FLIGHT - sum(lane.in_flight for lane in self.lanes.values())
        taken: Counter[str] = Counter()
        with self._reading() as connection:
            for source in self._sources:
                waiting = outbox.waiting_lanes(connection, source.table, self._clock.unix_ms())
                lanes = [(name, self.lanes.setdefault(name, Lane())) for name in waiting]
                # In turn: when there is no room for all, a backlog of some lanes would keep out the others.
                for name, lane in sorted(lanes, key=lambda each: each[1].claimed_at):
                    # Two outboxes may share a lane; they share its window and its one probe too.
                    room = min(lane.room(now) - taken[name], free)
                    if room > 0:
                        lane.claimed_at = now
                        free -= room
                        taken[name] += room
                        most = 1 if lane.probing else room
                        claims.append(_Claim(source, name, most * (source.most_per_message if most > 1 else 1)))
        return claims

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Connection]:
        """A look into the store.

        Raises:
            Refused: ``store_unavailable``: a store on another machine may be away for a while.
        """
        try:
            with self._readings.connect() as connection:
                yield connection
        except OperationalError as error:
            raise Refused(ErrorCode.STORE_UNAVAILABLE) from error

    def _patience(self) -> float:
        """Seconds until something may be due without anybody waking us."""
        now = self._clock.monotonic()
        # A probe that was due at the last look and did not start has nothing to send: it is not waited for.
        probes = [lane.next_probe for lane in self.lanes.values() if lane.probing]
        waits = [max(0.05, probe - now) for probe in probes if probe > self._looked_at]
        with self._reading() as connection:
            unix = self._clock.unix_ms()
            dues = [outbox.next_due(connection, source.table, unix) for source in self._sources]
        waits += [max(0.05, (due - unix) / 1000) for due in dues if due is not None]
        return min([IDLE_POLL_SECONDS, *waits])

    async def _claim(self, connection: Connection, claims: Sequence[_Claim]) -> list[list[Outgoing]]:
        now = self._clock.unix_ms()
        lease = now + int(LEASE_SECONDS * 1000)
        found: list[list[Outgoing]] = []
        for claim in claims:
            table = claim.source.table
            keys = outbox.claim(connection, table, claim.lane, most=claim.most, now=now, lease_until=lease)
            messages = claim.source.load(connection, keys) if keys else []
            kept: list[Outgoing] = []
            size = 0
            for message in messages:
                size += len(message.body)
                if kept and size > MOST_BYTES_PER_CHUNK:
                    outbox.unclaim(connection, table, message.keys)
                else:
                    kept.append(message)
            found.append(kept)
        return found

    async def _deliver(self, claim: _Claim, lane: Lane, messages: Sequence[Outgoing]) -> None:
        source = claim.source
        if source.claimed_point is not None:
            passage(source.claimed_point)
        self.published += len(messages)
        probe = lane.probing
        try:
            outcomes = await self._session.publish(messages, lambda: self._written(source))
        finally:
            lane.in_flight -= len(messages)
        keys: dict[Outcome, list[int]] = {outcome: [] for outcome in Outcome}
        for message, outcome in zip(messages, outcomes, strict=True):
            keys[outcome] += message.keys
        self.confirmed += outcomes.count(Outcome.CONFIRMED)
        self.refused += outcomes.count(Outcome.REFUSED)
        self.lost += outcomes.count(Outcome.LOST)
        if keys[Outcome.REFUSED]:
            if lane.full_since is None:
                _log.warning("mailbox_full", lane=claim.lane)
            jitter = _dice.random()
            lane.refused(self._clock.monotonic(), self._clock.unix(), jitter, probe=probe)
        elif keys[Outcome.CONFIRMED]:
            if probe:
                _log.info("mailbox_open", lane=claim.lane)
            lane.confirmed(probe=probe)
        await self._settle_when_possible(source, keys)

    @staticmethod
    def _written(source: OutboxSource) -> None:
        if source.published_point is not None:
            passage(source.published_point)

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
            await self._writer.submit(self._mark_confirmed, (source, keys[Outcome.CONFIRMED]))
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
