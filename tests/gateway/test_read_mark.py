"""What the audit says while the journal lags: nothing that the rest of the stream may contradict.

A real reader and a real audit on one store, both kinds; the stream between them is a list, read when a test says so.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select

from broker.clock import Clock
from broker.consuming import Delivery
from broker.publishing import Outcome, Outgoing
from broker.writer import Writer
from gateway.answers import AnswerDesk
from gateway.apart import Apart
from gateway.audit_worker import AuditWorker
from gateway.journal_reader import JournalReader
from gateway.lease import Lease
from gateway.read_mark import ReadMarks
from gateway.store.opening import GatewayStore
from gateway.store.tables import answers, dead_letters
from schemas.directory import KeyPurpose
from schemas.receipts import ReceiptEvent, build_receipt
from tests.gateway.databases import place, postgres, store
from tests.gateway.deliveries import delivery
from tests.support.authority import MadeAuthority
from tests.trust.forging import LETTER_ID, digest_of, letter
from trust import ijson
from trust.directory import Directory
from trust.token import TokenType

__all__ = ["place", "postgres", "store"]
NOW = datetime.now(UTC).replace(microsecond=0)
HELD, ANSWERED, BEHIND = ("held", "dead_lettered"), ("filed", "answered"), ("waiting", "journal_behind")


@dataclass(frozen=True)
class InForce:
    current: Directory


@dataclass
class Stream:
    """A stream whose broker can be made to refuse, or not to answer."""

    messages: list[Delivery] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)

    def take(self, body: bytes, exchange: str, routing_key: str) -> None:
        offset = len(self.messages)
        self.messages.append(delivery(body, exchange=exchange, routing_key=routing_key, offset=offset))

    async def publish(self, batch: Sequence[Outgoing]) -> list[Outcome]:
        outcomes = [self.outcomes.pop(0) if self.outcomes else Outcome.CONFIRMED for _ in batch]
        for message, outcome in zip(batch, outcomes, strict=True):
            if outcome is Outcome.CONFIRMED:
                self.take(message.body, "from.TRSL", message.routing_key)
        return outcomes

    def marks(self) -> int:
        return sum(each.routing_key == "read-mark" for each in self.messages)


@dataclass
class Desk:
    """Reader, audit, and what lies between them."""

    store: GatewayStore
    writer: Writer
    worker: AuditWorker
    reader: JournalReader
    marks: ReadMarks
    stream: Stream
    letter: bytes
    receipt: bytes
    read_so_far: int = 0

    async def arrive(self, exchange: str = "from.MPW") -> None:
        """MPW's letter to MOF arrives as a dead letter, by an exchange, or given up by the broker."""
        await self.worker.receive([delivery(self.letter, exchange=exchange, queue="dead-letter")])

    async def look(self) -> bool:
        """What the audit does each time; True if it shall look again soon."""
        await self.worker._judge_some()
        return await self.marks.give()

    async def read(self, messages: int | None = None) -> None:
        """The journal is read on, to the end of the stream or by so many messages."""
        end = len(self.stream.messages) if messages is None else self.read_so_far + messages
        batch = self.stream.messages[self.read_so_far : end]
        self.read_so_far = end
        await self.reader.receive(batch)

    def verdicts(self) -> list[tuple[str, str]]:
        with self.store.readings.connect() as connection:
            rows = connection.execute(select(dead_letters.c.verdict, dead_letters.c.reason))
            return [(row.verdict, row.reason) for row in rows]

    def answered(self) -> int:
        with self.store.readings.connect() as connection:
            return len(connection.execute(select(answers.c.seq)).all())


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[MadeAuthority, Directory]:
    made = MadeAuthority(tmp_path_factory.mktemp("marks"), NOW, ("MPW", "MOF"))
    return made, made.directory()


@pytest.fixture
async def desk(store: GatewayStore, authority: tuple[MadeAuthority, Directory], tmp_path: Path) -> AsyncIterator[Desk]:
    made, directory = authority
    writer, audit, journal, clock = Writer(store.engine), Lease("audit"), Lease("journal"), Clock()
    writer.start()
    assert await writer.submit(audit.take_all, None)
    assert await writer.submit(journal.take_all, None)
    desk = AnswerDesk(made.signer("TRSL", KeyPurpose.RECEIPTS), clock)
    worker = AuditWorker(writer, audit, InForce(directory), desk, Apart(tmp_path / "apart"), clock)
    reader = JournalReader(writer, journal, clock)
    await reader.begin()
    stream, sent = Stream(), letter(made)
    claims = build_receipt(
        event=ReceiptEvent.DELIVERED,
        issuer="MOF",
        audience="MPW",
        jti=LETTER_ID,
        issued_at=1,
        occurred_at=1,
        thread_id=None,
        letter_id=LETTER_ID,
        recipient="MOF",
        digest=digest_of(sent),
        details={},
    )
    [receipt] = await made.signer("MOF").sign(TokenType.RECEIPT, [ijson.dump(claims)], 1)
    marks = ReadMarks(writer, audit, stream.publish)
    yield Desk(store, writer, worker, reader, marks, stream, sent, receipt.text)
    await writer.close()


@pytest.mark.parametrize("exchange", ["from.MPW", "dead-letter"])
async def test_a_receipt_that_stands_in_the_stream_unread_keeps_its_letter_from_being_held(
    desk: Desk, exchange: str
) -> None:
    desk.stream.take(desk.letter, "from.MPW", "MOF.routine")
    await desk.read()
    desk.stream.take(desk.receipt, "from.MOF", "MPW.notice")
    await desk.arrive(exchange)
    for _ in range(3):
        await desk.look()
        assert desk.verdicts() == [BEHIND]
    assert desk.stream.marks() == 1, "one mark, however often it is looked"
    await desk.read(1)  # the receipt, and not yet the mark
    await desk.look()
    await desk.read()
    await desk.look()
    assert desk.verdicts() == [ANSWERED]
    assert desk.answered() == 0


async def test_while_the_journal_is_current_the_answer_needs_one_mark_and_one_further_look(desk: Desk) -> None:
    desk.stream.take(desk.letter, "from.MPW", "MOF.routine")
    await desk.read()
    await desk.arrive()
    assert await desk.look(), "soon again"
    assert not await desk.look(), "its mark is under way"
    await desk.read()
    await desk.look()
    assert desk.verdicts() == [HELD]
    assert (desk.answered(), desk.stream.marks()) == (1, 1)
    assert desk.worker.judged == 1, "to wait is no judgement"


async def test_another_copy_waits_for_a_mark_of_its_own(desk: Desk) -> None:
    """What the journal had been read past when the first one came is not enough for the second."""
    await desk.arrive()
    await desk.look()
    await desk.read()
    desk.stream.take(desk.receipt, "from.MOF", "MPW.notice")
    await desk.arrive()
    await desk.look()
    assert desk.verdicts() == [BEHIND]
    assert desk.stream.marks() == 2
    await desk.read()
    await desk.look()
    assert desk.verdicts() == [ANSWERED]


@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.LOST])
async def test_a_mark_that_is_not_confirmed_goes_out_again_and_serves_nobody_who_came_later(
    desk: Desk, outcome: Outcome
) -> None:
    desk.stream.outcomes = [outcome]
    await desk.arrive()
    assert not await desk.look()
    assert desk.stream.marks() == 0
    # The broker may have it all the same, before this receipt.
    desk.stream.take(desk.receipt, "from.MOF", "MPW.notice")
    await desk.arrive("dead-letter")
    await desk.look()
    await desk.look()
    assert desk.stream.marks() == 2
    bodies = [each.body for each in desk.stream.messages if each.routing_key == "read-mark"]
    assert len(set(bodies)) == 2


async def test_a_mark_that_was_lost_with_its_stream_is_replaced_once_the_gap_is_noted(desk: Desk) -> None:
    desk.stream.take(desk.letter, "from.MPW", "MOF.routine")
    await desk.read()
    await desk.arrive()
    await desk.look()
    assert desk.stream.marks() == 1
    # Truncated: the reader finds a later message than the one it stopped at.
    desk.stream.messages.clear()
    desk.reader.subscription.arguments()
    desk.stream.messages = [delivery(b"later", exchange="from.MPW", routing_key="MOF.routine", offset=7)]
    desk.read_so_far = 0
    await desk.read()
    await desk.look()
    assert desk.verdicts() == [BEHIND]
    [mark] = [each for each in desk.stream.messages if each.routing_key == "read-mark"]
    await desk.reader.receive([delivery(mark.body, exchange="from.TRSL", routing_key="read-mark", offset=8)])
    await desk.look()
    assert desk.verdicts() == [HELD]


async def test_work_that_begins_gives_those_that_wait_another_mark(desk: Desk) -> None:
    """Whoever did it before may have died before its mark was published."""
    desk.stream.outcomes = [Outcome.LOST]
    await desk.arrive()
    await desk.look()
    desk.marks = ReadMarks(desk.writer, Lease("audit", desk.worker._lease.holder), desk.stream.publish)
    await desk.look()
    await desk.read()
    await desk.look()
    assert desk.verdicts() == [HELD]


async def test_an_agencys_message_is_no_mark_whatever_it_says(desk: Desk) -> None:
    await desk.arrive()
    await desk.look()
    [mark] = desk.stream.messages
    desk.stream.messages.clear()
    desk.stream.take(mark.body, "from.MOF", "MPW.routine")
    await desk.read()
    await desk.look()
    assert desk.verdicts() == [BEHIND]
