"""The dead-letter audit: store first, acknowledge after, then judge and answer.

What arrives in ``dead-letter``, ``dead-letter.expired`` and every ``dead-letter.X`` is stored as it came, in one
transaction a batch, and acknowledged. Judging is a second step, from the stored row: so a kill between the two, or a
journal that has not read so far yet, only makes an entry wait. What one judging commits is verdict and answers
together.

What no queue brings though it was published is fetched from the journal (:mod:`gateway.unbrought`).

An entry whose answer depends on what the journal knows waits until that has been read past what the stream held when
the entry was stored (:mod:`gateway.read_mark`): no answer is signed from what the journal knew before.

The same message once more (a copy, or one whose acknowledgement was lost) is counted on its row, and the row is judged
again: the journal may know more publishers by then. No answer is given twice.

Content never stops the worker. What cannot be judged is marked as such; what cannot be stored is put into a folder
beside the store; each turns a check red.
"""

import asyncio
import contextlib
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

import structlog
from sqlalchemy import Connection, func, insert, or_, select, update
from sqlalchemy.exc import DBAPIError

from broker.clock import Clock
from broker.consuming import Delivery
from broker.frames import UNREADABLE
from broker.kill_points import KillPoint, passage
from broker.session import AfterAck
from broker.writer import Writer
from gateway.answers import AnswerDesk, Judged
from gateway.apart import Apart
from gateway.audit import PUBLISHER_UNKNOWN, Evidence, Judgement, Known, identity, judge
from gateway.directory_file import DirectoryInForce
from gateway.journal import statement_of, storable
from gateway.lease import Lease, LeaseLost
from gateway.places import Place, move_to
from gateway.read_mark import Publish, ReadMarks, has_been_read
from gateway.store.tables import dead_letters, journal_tokens
from gateway.unbrought import WORK, Compared, compare
from gateway.verdict import Verdict
from schemas.errors import Refused
from trust.token import LIMITS, TokenType

HEAD_BYTES = 64 * 1024
LONGEST_PASS = 64
LONGEST_PASS_SECONDS = 0.25
"""Entries judged in one transaction, and for how long: the loop stands still meanwhile, and some letters take a fifth
of a second. A holder that is silent for longer than its lease would lose it, and with it all that it has judged."""
LOOK_AGAIN_SECONDS = 0.5
"""Entries that wait for the journal are looked at again so often."""
LOOK_SOON_SECONDS = 0.1
"""The same once their mark has been published: a journal that is current has recorded it by then."""
LONGEST_WAIT_MS = 24 * 3600 * 1000
"""For a publisher that the journal does not know, however far it has been read."""
COMPARE_EVERY_SECONDS = 10.0
"""The journal with the audit, once it has been compared so far."""
LARGEST_COUNT = 2**31 - 1

_log = structlog.get_logger("audit")


@dataclass(frozen=True, slots=True)
class _Arrived:
    delivery: Delivery
    statement: bytes | None
    body_digest: str

    @classmethod
    def of(cls, delivery: Delivery) -> Self:
        return cls(delivery, statement_of(delivery), hashlib.sha256(delivery.body).hexdigest())

    @property
    def statement_digest(self) -> str:
        return "" if self.statement is None else hashlib.sha256(self.statement).hexdigest()


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass of judging: of how many entries the verdict ``changed``, and how many were ``settled``."""

    changed: int = 0
    settled: int = 0


class AuditWorker:
    """See the module's docstring.

    Args:
        writer: of the authority's store.
        lease: of this work.
        directory: in force.
        desk: signs answers.
        apart: keeps what the store does not take.
        clock: for times.
    """

    def __init__(
        self,
        writer: Writer,
        lease: Lease,
        directory: DirectoryInForce,
        desk: AnswerDesk,
        apart: Apart,
        clock: Clock,
    ) -> None:
        self._writer = writer
        self._lease = lease
        self._directory = directory
        self._desk = desk
        self._apart = apart
        self._clock = clock
        self._arrived = asyncio.Event()
        self._next_comparison = 0.0
        self.stored = 0
        self.judged = 0

    async def receive(self, batch: Sequence[Delivery]) -> AfterAck:
        """Store a batch; returns after the commit."""
        passage(KillPoint.DEAD_LETTER_RECEIVED_UNSTORED)
        await self._keep(batch)
        passage(KillPoint.DEAD_LETTER_STORED_UNACKED)
        return self._acknowledged

    async def _keep(self, batch: Sequence[Delivery]) -> None:
        arrived = [_Arrived.of(delivery) for delivery in batch]
        try:
            await self._writer.submit(self._store, arrived)
        except (Refused, LeaseLost):
            raise
        except Exception as error:  # noqa: BLE001 - content must not stop the worker: found out one by one
            _log.error("batch_not_stored", size=len(batch), exc_info=error)
            for each in arrived:
                await self._store_one(each)
        self.stored += len(batch)

    async def _store_one(self, arrived: _Arrived) -> None:
        try:
            await self._writer.submit(self._store, [arrived])
        except (Refused, LeaseLost):
            raise
        except Exception as error:  # noqa: BLE001 - as above: its bytes are kept, and a check says so
            self._apart.keep(arrived.delivery, arrived.body_digest, repr(error))

    def _acknowledged(self) -> None:
        passage(KillPoint.DEAD_LETTER_ACKED_UNANSWERED)
        self._arrived.set()

    async def judge_until(self, stopping: asyncio.Event, publish: Publish) -> None:
        """Judge what has been stored, what waits, and what no queue brought, until ``stopping`` is set.

        Args:
            stopping: ends it.
            publish: through the authority's exchange, for the marks in the stream.
        """
        marks, soon = ReadMarks(self._writer, self._lease, publish), False
        while not stopping.is_set():
            self._arrived.clear()
            try:
                more = await self._fetch_unbrought()
                judged = await self._judge_some()
                soon |= await marks.give()
            except Refused as refusal:
                _log.warning("judging_waits", code=refusal.code)
                more = judged = False
            except LeaseLost:
                # Nothing was written. The duty finds out by itself, and ends this.
                more = judged = False
            if judged or more:
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SOON_SECONDS if soon else LOOK_AGAIN_SECONDS):
                    await self._arrived.wait()
            soon = False

    async def _judge_some(self) -> bool:
        """One pass; True if there may be more."""
        done = await self._writer.submit(self._judge, None)
        self.judged += done.settled
        return done.changed > 0

    async def _fetch_unbrought(self) -> bool:
        """Compare a part of the journal, if it is time; True if there may be more."""
        if self._clock.monotonic() < self._next_comparison:
            return False
        compared = await self._writer.submit(self._compare, None)
        if compared.up_to is None:
            self._next_comparison = self._clock.monotonic() + COMPARE_EVERY_SECONDS
            return False
        if compared.unbrought:
            _log.warning("dead_letters_unbrought", count=len(compared.unbrought))
            await self._keep(compared.unbrought)
        await self._writer.submit(self._move_on, compared.up_to)
        return True

    # Transactions

    async def _compare(self, connection: Connection, items: Sequence[None]) -> list[Compared]:
        return [compare(connection, self._clock.unix_ms())] * len(items)

    async def _move_on(self, connection: Connection, places: Sequence[Place]) -> list[None]:
        self._lease.require(connection)
        move_to(connection, WORK, places[-1])
        return [None] * len(places)

    async def _store(self, connection: Connection, batches: Sequence[Sequence[_Arrived]]) -> list[None]:
        self._lease.require(connection)
        now = self._clock.unix_ms()
        d = dead_letters.c
        last = connection.execute(select(func.max(d.seq))).scalar() or 0
        for arrived in (each for batch in batches for each in batch):
            delivery = arrived.delivery
            known = connection.execute(
                update(dead_letters)
                .where(
                    d.body_digest == arrived.body_digest,
                    d.queue == delivery.queue,
                    d.exchange == storable(delivery.exchange),
                    d.routing_key == storable(delivery.routing_key),
                    d.statement_digest == arrived.statement_digest,
                )
                .values(copies=d.copies + 1, last_at=now, verdict=Verdict.NEW.value, read_mark=None)
            ).rowcount
            if not known:
                last += 1
                connection.execute(insert(dead_letters).values(seq=last, **_row(arrived, now)))
        return [None] * len(batches)

    async def _judge(self, connection: Connection, items: Sequence[None]) -> list[Pass]:
        judged: list[Judged] = []
        now = self._clock.now()
        deadline = self._clock.monotonic() + LONGEST_PASS_SECONDS
        for row in self._to_judge(connection):
            judgement = self._judge_row(connection, row, now)
            if judgement.verdict.value != row.verdict:
                judged.append(Judged(row.seq, row.routing_key, row.received_at, judgement))
            if self._clock.monotonic() >= deadline:
                break
        if judged:
            self._lease.require(connection)
            judged_at = self._clock.unix_ms()
            for item in judged:
                connection.execute(
                    update(dead_letters)
                    .where(dead_letters.c.seq == item.seq)
                    .values(**_verdict(item.judgement), judged_at=judged_at)
                )
            await self._desk.issue(connection, judged)
        settled = sum(item.judgement.verdict is not Verdict.WAITING for item in judged)
        return [Pass(len(judged), settled)] * len(items)

    def _to_judge(self, connection: Connection) -> Sequence[Any]:
        """What is new, what waited for the journal and no longer must, and what did long enough; oldest first."""
        d, t = dead_letters.c, journal_tokens.c
        columns = (
            d.seq, d.queue, d.exchange, d.routing_key, d.body, d.body_digest, d.statement_jws, d.received_at, d.last_at,
            d.verdict, d.size, d.foreign_mark, has_been_read().label("current"),
        )  # fmt: skip
        rows = select(*columns).order_by(d.seq).limit(LONGEST_PASS)
        waiting = rows.where(d.verdict == Verdict.WAITING.value, has_been_read())
        published = select(t.digest).where(
            t.digest == d.digest, t.routing_key == d.routing_key, t.publisher.is_not(None)
        )
        found = {
            row.seq: row
            for statement in (
                rows.where(d.verdict == Verdict.NEW.value),
                waiting.where(or_(d.reason != PUBLISHER_UNKNOWN, published.exists())),
                waiting.where(d.last_at < self._clock.unix_ms() - LONGEST_WAIT_MS),
            )
            for row in connection.execute(statement)
        }
        return [found[seq] for seq in sorted(found)]

    def _judge_row(self, connection: Connection, row: Any, now: datetime) -> Judgement:
        body = bytes(row.body)
        evidence = Evidence(
            row.queue,
            row.exchange,
            row.routing_key,
            body,
            row.body_digest,
            None if row.statement_jws is None else bytes(row.statement_jws),
            whole=len(body) == row.size,
            foreign=row.foreign_mark is not None,
        )
        in_time = row.last_at >= self._clock.unix_ms() - LONGEST_WAIT_MS
        try:
            digest = identity(evidence)
            known = _known(connection, digest, evidence.routing_key, in_time=in_time, current=row.current)
            return judge(evidence, known, self._directory.current, now)
        except DBAPIError:
            raise
        except Exception as error:  # noqa: BLE001 - content must not stop the worker; the row says so
            _log.exception("judging_failed", seq=row.seq)
            return Judgement(Verdict.UNJUDGED, "judging_failed", type(error).__name__, row.body_digest)


def _known(connection: Connection, digest: str, routing_key: str, *, in_time: bool, current: bool) -> Known:
    t = journal_tokens.c
    published = connection.execute(
        select(t.publisher).where(t.digest == digest, t.routing_key == routing_key, t.publisher.is_not(None))
    ).scalars()
    answered = connection.execute(
        select(t.publisher).where(t.about == digest, t.type == TokenType.RECEIPT.value, t.publisher.is_not(None))
    ).scalars()
    return Known(frozenset(published), frozenset(answered), in_time, current)


def _row(arrived: _Arrived, now: int) -> dict[str, Any]:
    delivery = arrived.delivery
    whole = len(delivery.body) <= LIMITS[TokenType.LETTER].token
    return {
        "queue": delivery.queue,
        "exchange": storable(delivery.exchange),
        "routing_key": storable(delivery.routing_key),
        "body_digest": arrived.body_digest,
        "statement_digest": arrived.statement_digest,
        "foreign_mark": _foreign_mark(delivery),
        "type": "",
        "stage": "adapter" if delivery.queue.startswith("dead-letter.") and arrived.statement else "broker",
        "reason": "",
        "attempts": 1,
        "verdict": Verdict.NEW.value,
        "received_at": now,
        "last_at": now,
        "size": len(delivery.body),
        "statement_jws": arrived.statement,
        "body": delivery.body if whole else delivery.body[:HEAD_BYTES],
    }


def _foreign_mark(delivery: Delivery) -> str | None:
    """What the message carries that no adapter sets: by the broker's word in ``x-death``, a time to live."""
    headers = delivery.headers
    if UNREADABLE in headers:
        return "unreadable"
    if "CC" in headers or "BCC" in headers:
        return "copied"
    deaths = headers.get("x-death")
    entries = deaths if isinstance(deaths, list) else []
    expired = any(isinstance(entry, dict) and entry.get("reason") == "expired" for entry in entries)
    return "expired" if expired or delivery.expiration is not None else None


def _verdict(judgement: Judgement) -> dict[str, Any]:
    return {
        "verdict": judgement.verdict.value,
        "reason": storable(judgement.reason),
        "explanation": storable(judgement.explanation[:500]),
        "digest": judgement.digest,
        "type": judgement.type,
        "publisher": judgement.publisher,
        "signer": judgement.signer,
        "letter_id": judgement.letter_id,
        "thread_id": judgement.thread_id,
        "recipient": judgement.recipient,
        "attempts": min(judgement.attempts, LARGEST_COUNT),
    }
