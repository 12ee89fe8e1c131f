"""The journal reader between a store and a session that are lost at the worst moment; on the real store, both kinds."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest
from sqlalchemy import select, update

import gateway.journal_reader
from broker.clock import Clock
from broker.consuming import Delivery
from broker.writer import Writer
from gateway.journal import read_message
from gateway.journal_reader import Gap, JournalReader, WrongBeginning
from gateway.lease import Lease
from gateway.store.opening import GatewayStore
from gateway.store.tables import journal, journal_gaps, leases
from schemas.errors import Refused
from tests.gateway.databases import place, postgres, store
from tests.gateway.deliveries import delivery

__all__ = ["place", "postgres", "store"]


def stream(first: int, last: int, word: str = "message") -> list[Delivery]:
    """Messages of a stream at the offsets ``first`` to ``last``."""
    return [delivery(f"{word} {offset}".encode(), offset=offset) for offset in range(first, last + 1)]


@dataclass
class Desk:
    """A reader with its store."""

    store: GatewayStore
    writer: Writer
    lease: Lease
    reader: JournalReader

    def begin_session(self) -> object:
        """What a new session asks first: where to begin."""
        return self.reader.subscription.arguments()["x-stream-offset"]

    @contextlib.contextmanager
    def store_away(self) -> Iterator[None]:
        """Somebody else's transaction holds the lease's row (the file, on SQLite), so that nothing can be written."""
        with self.store.engine.connect() as other:
            other.execute(update(leases).values(until=leases.c.until))
            yield
            other.rollback()

    def recorded(self) -> list[tuple[int, int]]:
        with self.store.readings.connect() as connection:
            rows = select(journal.c.incarnation, journal.c.stream_offset).order_by(
                journal.c.incarnation, journal.c.stream_offset
            )
            return [(each.incarnation, each.stream_offset) for each in connection.execute(rows)]

    def gaps(self) -> list[str]:
        with self.store.readings.connect() as connection:
            return list(connection.execute(select(journal_gaps.c.kind).order_by(journal_gaps.c.seq)).scalars())


@pytest.fixture
async def desk(store: GatewayStore) -> AsyncIterator[Desk]:
    writer = Writer(store.engine)
    writer.start()
    lease = Lease("journal")
    assert await writer.submit(lease.take_all, None)
    reader = JournalReader(writer, lease, Clock())
    await reader.begin()
    yield Desk(store, writer, lease, reader)
    await writer.close()


async def test_a_session_lost_during_the_commit_leaves_a_reader_that_goes_on(desk: Desk) -> None:
    """The worker is cancelled while its batch is being committed; the broker delivers the batch again."""
    desk.begin_session()
    await desk.reader.receive(stream(0, 2))
    recording = asyncio.create_task(desk.reader.receive(stream(3, 5)))
    await asyncio.sleep(0)  # the batch has been submitted
    recording.cancel()
    await asyncio.gather(recording, return_exceptions=True)
    assert recording.cancelled()
    assert desk.begin_session() == 2
    with pytest.raises(WrongBeginning):
        await desk.reader.receive(stream(2, 8))
    assert desk.begin_session() == 5
    await desk.reader.receive(stream(5, 8))
    assert desk.recorded() == [(1, offset) for offset in range(9)]
    assert desk.gaps() == []


async def test_a_session_lost_while_a_new_stream_is_noted_misses_nothing_of_it(desk: Desk) -> None:
    """What was committed then, and the reader was not told, is here done by its twin."""
    desk.begin_session()
    await desk.reader.receive(stream(0, 2))
    untold = JournalReader(desk.writer, desk.lease, Clock())
    await untold.begin()
    await untold.recreate(Gap("re-created", 1, 2, 2))
    other = stream(0, 4, "another")
    assert desk.begin_session() == 2
    with pytest.raises(WrongBeginning):
        await desk.reader.receive(other[2:])
    assert desk.begin_session() == "first"
    await desk.reader.receive(other)
    assert desk.recorded() == [(1, 0), (1, 1), (1, 2), *((2, offset) for offset in range(5))]
    assert desk.gaps() == ["re-created"]


async def test_a_gap_is_recorded_though_the_store_was_away_when_it_was_found(desk: Desk) -> None:
    desk.begin_session()
    await desk.reader.receive(stream(0, 2))
    desk.begin_session()
    with desk.store_away(), pytest.raises(Refused):
        await desk.reader.receive(stream(7, 9))
    # The worker keeps the batch, and gives it again.
    await desk.reader.receive(stream(7, 9))
    assert desk.recorded() == [(1, offset) for offset in (0, 1, 2, 7, 8, 9)]
    assert desk.gaps() == ["truncated"]


async def test_a_batch_of_the_largest_messages_leaves_the_loop_its_turns(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a batch that takes a minute to take apart, heartbeats and the lease must not know."""
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    seen: list[int] = []
    monkeypatch.setattr(
        gateway.journal_reader, "read_message", lambda given: (seen.append(turns), read_message(given))[1]
    )
    turning = asyncio.create_task(turn())
    large = [delivery(b"x" * 300_000, offset=offset) for offset in range(5)]
    desk.begin_session()
    await desk.reader.receive(large)
    turning.cancel()
    assert len(set(seen)) == 5
    assert desk.recorded() == [(1, offset) for offset in range(5)]


# A stream made anew, found out by its silence


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway.journal_reader, "SILENCE_SECONDS", 0.01)


@pytest.mark.usefixtures("impatient")
async def test_a_stream_made_anew_is_the_next_one_once_however_it_is_found_out(desk: Desk) -> None:
    """While the broker is asked where the stream ends, the stream reaches the stored offset with another message."""
    desk.begin_session()
    await desk.reader.receive(stream(0, 3))
    desk.begin_session()
    begun: list[str] = []

    async def ends_at() -> int:
        with pytest.raises(WrongBeginning):
            await desk.reader.receive(stream(3, 3, "another"))
        assert desk.begin_session() == "first"
        await desk.reader.receive(stream(0, 3, "another"))
        return 2

    await desk.reader.watch_silence(ends_at, begun.append)
    assert desk.gaps() == ["re-created"]
    assert begun == []
    await desk.reader.receive(stream(4, 5, "another"))
    assert desk.recorded() == [(1, 0), (1, 1), (1, 2), (1, 3), *((2, offset) for offset in range(6))]


@pytest.mark.usefixtures("impatient")
async def test_a_stream_made_anew_that_cannot_be_written_down_is_found_out_again(desk: Desk) -> None:
    desk.begin_session()
    await desk.reader.receive(stream(0, 3))
    desk.begin_session()
    begun: list[str] = []

    async def ends_at() -> None:
        return None

    with desk.store_away():
        await desk.reader.watch_silence(ends_at, begun.append)
    assert (len(begun), desk.gaps()) == (1, [])
    desk.begin_session()
    await desk.reader.watch_silence(ends_at, begun.append)
    assert (len(begun), desk.gaps()) == (2, ["re-created"])
    assert desk.begin_session() == "first"
