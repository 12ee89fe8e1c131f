"""The dead-letter audit: store first, acknowledge after, then judge and answer.

What arrives in ``dead-letter``, ``dead-letter.expired`` and every ``dead-letter.X`` is stored as it came, in one
transaction a batch, and acknowledged. Judging is a second step, from the stored row: so a kill between the two, or a
journal that has not read so far yet, only makes an entry wait. What one judging commits is verdict and answers
together.
"""

import asyncio
import contextlib
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import structlog
from sqlalchemy import Connection, func, insert, select, update

from broker.clock import Clock
from broker.consuming import Delivery
from broker.kill_points import KillPoint, passage
from broker.session import AfterAck
from broker.writer import Writer
from gateway.answers import AnswerDesk, Judged
from gateway.audit import Evidence, Judgement, Known, Verdict, identity, judge, known_publishers
from gateway.journal import statement_of
from gateway.lease import Lease
from gateway.store.tables import dead_letters, journal_tokens
from schemas.errors import Refused
from trust.directory import Directory
from trust.token import LIMITS, TokenType

HEAD_BYTES = 64 * 1024
LONGEST_PASS = 256
LOOK_AGAIN_SECONDS = 0.5
"""Entries that wait for the journal are looked at again so often."""

_log = structlog.get_logger("audit")


class DirectoryInForce(Protocol):
    """Whatever knows the directory."""

    @property
    def current(self) -> Directory: ...


@dataclass(frozen=True, slots=True)
class _Arrived:
    delivery: Delivery
    statement: bytes | None
    body_digest: str


class AuditWorker:
    """See the module's docstring.

    Args:
        writer: of the authority's store.
        lease: of this work.
        directory: in force.
        desk: signs answers.
        clock: for times.
        wake: wakes the relay.
    """

    def __init__(
        self,
        writer: Writer,
        lease: Lease,
        directory: DirectoryInForce,
        desk: AnswerDesk,
        clock: Clock,
        wake: AfterAck,
    ) -> None:
        self._writer = writer
        self._lease = lease
        self._directory = directory
        self._desk = desk
        self._clock = clock
        self._wake_relay = wake
        self._arrived = asyncio.Event()
        self._looked_at = 0
        self.stored = 0
        self.judged = 0

    async def receive(self, batch: Sequence[Delivery]) -> AfterAck:
        """Store a batch; returns after the commit."""
        passage(KillPoint.DEAD_LETTER_RECEIVED_UNSTORED)
        arrived = [
            _Arrived(delivery, statement_of(delivery), hashlib.sha256(delivery.body).hexdigest()) for delivery in batch
        ]
        await self._writer.submit(self._store, arrived)
        self.stored += len(batch)
        passage(KillPoint.DEAD_LETTER_STORED_UNACKED)
        return self._acknowledged

    def _acknowledged(self) -> None:
        passage(KillPoint.DEAD_LETTER_ACKED_UNANSWERED)
        self._arrived.set()

    async def judge_until(self, stopping: asyncio.Event) -> None:
        """Judge what has been stored, and what waits, until ``stopping`` is set."""
        while not stopping.is_set():
            self._arrived.clear()
            try:
                judged = await self._writer.submit(self._judge, None)
            except Refused as refusal:
                _log.warning("judging_waits", code=refusal.code)
                judged = 0
            self.judged += judged
            if judged:
                self._wake_relay()
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_AGAIN_SECONDS):
                    await self._arrived.wait()

    # Transactions

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
                    d.exchange == delivery.exchange,
                    d.routing_key == delivery.routing_key,
                )
                .values(copies=d.copies + 1, last_at=now)
            ).rowcount
            if not known:
                last += 1
                connection.execute(insert(dead_letters).values(seq=last, **_row(arrived, now)))
        return [None] * len(batches)

    async def _judge(self, connection: Connection, items: Sequence[None]) -> list[int]:
        judged: list[Judged] = []
        now = self._clock.now()
        for row in self._to_judge(connection):
            statement = None if row.statement_jws is None else bytes(row.statement_jws)
            evidence = Evidence(row.queue, row.exchange, row.routing_key, bytes(row.body), row.body_digest, statement)
            judgement = self._judge_one(connection, evidence, now)
            if judgement.verdict.value != row.verdict:
                judged.append(Judged(row.seq, row.routing_key, row.received_at, judgement))
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
        return [len(judged)] * len(items)

    def _to_judge(self, connection: Connection) -> Sequence[Any]:
        """What is new, and a part of what waits: another part each time, so that no entry hides those behind it."""
        d = dead_letters.c
        columns = (
            d.seq, d.queue, d.exchange, d.routing_key, d.body, d.body_digest, d.statement_jws, d.received_at, d.verdict,
        )  # fmt: skip
        of_verdict = select(*columns).order_by(d.seq).limit(LONGEST_PASS)
        fresh = connection.execute(of_verdict.where(d.verdict == Verdict.NEW.value)).all()
        waiting = connection.execute(
            of_verdict.where(d.verdict == Verdict.WAITING.value, d.seq > self._looked_at)
        ).all()
        self._looked_at = waiting[-1].seq if len(waiting) == LONGEST_PASS else 0
        return [*fresh, *waiting]

    def _judge_one(self, connection: Connection, evidence: Evidence, now: datetime) -> Judgement:
        t = journal_tokens.c
        digest = identity(evidence)
        published = [
            (row[0], row[1]) for row in connection.execute(select(t.publisher, t.routing_key).where(t.digest == digest))
        ]
        answered = connection.execute(
            select(t.publisher).where(t.about == digest, t.type == TokenType.RECEIPT.value, t.publisher.is_not(None))
        ).scalars()
        known = Known(known_publishers(published, evidence.routing_key), frozenset(answered))
        return judge(evidence, known, self._directory.current, now)


def _row(arrived: _Arrived, now: int) -> dict[str, Any]:
    delivery = arrived.delivery
    whole = len(delivery.body) <= LIMITS[TokenType.LETTER].token
    return {
        "queue": delivery.queue,
        "exchange": delivery.exchange,
        "routing_key": delivery.routing_key,
        "body_digest": arrived.body_digest,
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


def _verdict(judgement: Judgement) -> dict[str, Any]:
    return {
        "verdict": judgement.verdict.value,
        "reason": judgement.reason,
        "explanation": judgement.explanation[:500],
        "digest": judgement.digest,
        "type": judgement.type,
        "publisher": judgement.publisher,
        "signer": judgement.signer,
        "letter_id": judgement.letter_id,
        "thread_id": judgement.thread_id,
        "recipient": judgement.recipient,
        "attempts": judgement.attempts,
    }
