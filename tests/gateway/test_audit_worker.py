"""The audit worker beside a broker that brings nothing: how it divides its work, and what the journal gives it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import insert, select

import gateway.audit_worker
import gateway.unbrought
from broker.clock import Clock
from broker.publishing import Outcome, Outgoing
from broker.writer import Writer
from gateway.answers import AnswerDesk
from gateway.apart import Apart
from gateway.audit_worker import AuditWorker
from gateway.lease import Lease
from gateway.store.opening import GatewayStore
from gateway.store.tables import dead_letters, journal
from schemas.directory import KeyPurpose
from tests.broker.bed import eventually
from tests.gateway.databases import place, postgres, store
from tests.gateway.deliveries import delivery
from tests.support.authority import MadeAuthority
from trust.directory import Directory

__all__ = ["place", "postgres", "store"]
REFUSE = {
    "sqlite": """CREATE TRIGGER refuses BEFORE INSERT ON dead_letters WHEN new.size = 7
                 BEGIN SELECT RAISE(ABORT, 'refused'); END""",
    "postgresql": "ALTER TABLE dead_letters ADD CONSTRAINT refuses CHECK (size <> 7)",
}
"""Refuse one entry by its size, as a fault of the disk or of ours would."""
NOW = datetime.now(UTC).replace(microsecond=0)


@dataclass(frozen=True)
class InForce:
    current: Directory


@dataclass
class Desk:
    """A worker with its store."""

    store: GatewayStore
    writer: Writer
    worker: AuditWorker
    apart: Apart

    def bodies(self) -> list[bytes]:
        with self.store.readings.connect() as connection:
            return [bytes(body) for body in connection.execute(select(dead_letters.c.body)).scalars()]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[MadeAuthority, Directory]:
    made = MadeAuthority(tmp_path_factory.mktemp("audit"), NOW, ("MPW", "MOF"))
    return made, made.directory()


@pytest.fixture
async def desk(store: GatewayStore, authority: tuple[MadeAuthority, Directory], tmp_path: Path) -> AsyncIterator[Desk]:
    made, directory = authority
    writer, lease, clock = Writer(store.engine), Lease("audit"), Clock()
    writer.start()
    assert await writer.submit(lease.take_all, None)
    answers = AnswerDesk(made.signer("TRSL", KeyPurpose.RECEIPTS), clock)
    apart = Apart(tmp_path / "apart")
    worker = AuditWorker(writer, lease, InForce(directory), answers, apart, clock)
    yield Desk(store, writer, worker, apart)
    await writer.close()


async def nothing_waits(messages: Sequence[Outgoing]) -> list[Outcome]:
    raise AssertionError(f"{len(messages)} marks for entries that need none")


async def test_what_takes_long_to_judge_is_judged_in_several_transactions(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop stands still while entries are judged: not for longer than a lease lasts, whatever they are."""
    monkeypatch.setattr(gateway.audit_worker, "LONGEST_PASS_SECONDS", 0.0)
    await desk.worker.receive([delivery(b"%d" % number, queue="dead-letter") for number in range(3)])
    passes = [await desk.writer.submit(desk.worker._judge, None) for _ in range(4)]
    assert [each.changed for each in passes] == [1, 1, 1, 0]


async def test_of_what_the_journal_gives_one_that_cannot_be_stored_goes_apart_and_stops_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway.unbrought, "BEHIND_MS", -1_000)
    with desk.store.engine.begin() as connection:
        connection.exec_driver_sql(REFUSE[connection.dialect.name])
        for offset, body in enumerate((b"one", b"refused", b"three")):
            row = {"incarnation": 1, "stream_offset": offset, "exchange": "from.MOF", "routing_key": "dead-letter"}
            row |= {"publisher": "MOF", "kind": "dead_letter", "recorded_at": 0, "body": body}
            connection.execute(insert(journal).values(**row))
    stopping = asyncio.Event()
    judging = asyncio.create_task(desk.worker.judge_until(stopping, nothing_waits))
    await eventually(lambda: desk.worker.judged == 2)
    stopping.set()
    await judging
    assert sorted(desk.bodies()) == [b"one", b"three"]
    assert desk.apart.count() == 1
    assert desk.worker.stored == 3
