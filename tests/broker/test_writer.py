"""The writer groups, answers after the commit, and lets one bad item fail alone."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, Table, Text, func, insert, select
from sqlalchemy.exc import OperationalError

from broker.sqlite import StoreLock, open_for_reading, open_store
from broker.writer import LARGEST_GROUP, AfterCommit, Writer
from schemas.errors import ErrorCode, Refused

metadata = MetaData()
notes = Table("notes", metadata, Column("seq", Integer, primary_key=True), Column("text", Text, unique=True))


async def write(connection: Connection, items: Sequence[str]) -> list[int | Refused]:
    connection.execute(insert(notes), [{"text": item} for item in items])
    return [len(items)] * len(items)


async def write_or_refuse(connection: Connection, items: Sequence[str]) -> list[int | Refused]:
    results: list[int | Refused] = []
    for item in items:
        if item.startswith("bad"):
            results.append(Refused(ErrorCode.LETTER_NOT_FOUND, id=item))
        else:
            connection.execute(insert(notes), [{"text": item}])
            results.append(1)
    return results


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[tuple[Writer, Path]]:
    path = tmp_path / "store.db"
    engine = open_store(path)
    with engine.begin() as connection:
        metadata.create_all(connection)
    writer = Writer(engine)
    writer.start()
    yield writer, path
    await writer.close()
    engine.dispose()


def stored(path: Path) -> list[str]:
    engine = open_for_reading(path)
    with engine.connect() as connection:
        found = list(connection.execute(select(notes.c.text).order_by(notes.c.seq)).scalars())
    engine.dispose()
    return found


async def test_an_answer_means_that_another_connection_sees_the_row(store: tuple[Writer, Path]) -> None:
    writer, path = store
    await writer.submit(write, "one")
    assert stored(path) == ["one"]


async def test_what_is_submitted_together_shares_a_commit(store: tuple[Writer, Path]) -> None:
    writer, path = store
    sizes = await asyncio.gather(*(writer.submit(write, f"note {n}") for n in range(100)))
    assert max(sizes) >= 99
    assert writer.commits <= 2
    assert len(stored(path)) == 100


async def test_a_group_is_bounded(store: tuple[Writer, Path]) -> None:
    writer, path = store
    sizes = await asyncio.gather(*(writer.submit(write, f"note {n}") for n in range(LARGEST_GROUP * 2 + 10)))
    assert max(sizes) <= LARGEST_GROUP
    assert len(stored(path)) == LARGEST_GROUP * 2 + 10


class Scribe:
    """A follower that writes what it is told to, or fails."""

    def __init__(self, path: Path, trouble: Exception | None = None) -> None:
        self.path = path
        self.trouble = trouble
        self.told: list[Exception] = []
        self.committed: list[list[str]] = []

    def follow(self, connection: Connection) -> AfterCommit | None:
        seen = connection.execute(select(func.count()).select_from(notes)).scalar_one()
        connection.execute(insert(notes), [{"text": f"after {seen}"}])
        if self.trouble is not None:
            raise self.trouble
        return lambda: self.committed.append(stored(self.path))

    def follow_failed(self, error: Exception) -> None:
        self.told.append(error)


async def test_a_follower_shares_the_commit_and_acts_after_it(store: tuple[Writer, Path]) -> None:
    writer, path = store
    scribe = Scribe(path)
    writer.add_follower(scribe)
    await writer.submit(write, "one")
    assert (writer.commits, stored(path)) == (1, ["one", "after 1"])
    await writer.look()
    writer.remove_follower(scribe)
    await writer.submit(write, "two")
    assert stored(path) == ["one", "after 1", "after 2", "two"]
    assert scribe.committed == [["one", "after 1"], ["one", "after 1", "after 2"]]


@pytest.mark.parametrize(
    ("trouble", "told"),
    [
        (LookupError("unforeseen"), LookupError("unforeseen")),
        (OperationalError("", None, OSError("database or disk is full")), Refused(ErrorCode.STORAGE_FULL)),
    ],
)
async def test_a_follower_that_fails_is_told_so_and_leaves_no_trace(
    store: tuple[Writer, Path], trouble: Exception, told: Exception
) -> None:
    writer, path = store
    scribe = Scribe(path, trouble)
    writer.add_follower(scribe)
    assert await asyncio.gather(writer.submit(write, "one"), writer.submit(write, "two")) == [2, 2]
    assert stored(path) == ["one", "two"]
    assert scribe.committed == []
    assert [repr(error) for error in scribe.told] == [repr(told)]


async def test_a_patient_write_goes_with_the_next_commit_or_soon_alone(store: tuple[Writer, Path]) -> None:
    writer, path = store
    patient = asyncio.ensure_future(writer.submit(write, "patient", patient=True))
    await asyncio.sleep(0)
    await writer.submit(write, "other")
    assert patient.done()
    assert (writer.commits, stored(path)) == (1, ["patient", "other"])
    await writer.submit(write, "alone", patient=True)
    assert (writer.commits, stored(path)) == (2, ["patient", "other", "alone"])


async def test_a_close_waits_for_what_is_patient(store: tuple[Writer, Path]) -> None:
    writer, path = store
    patient = asyncio.ensure_future(writer.submit(write, "patient", patient=True))
    await asyncio.sleep(0)
    await writer.close()
    assert await patient == 1
    assert stored(path) == ["patient"]


async def test_a_refused_item_leaves_the_others_alone(store: tuple[Writer, Path]) -> None:
    writer, path = store
    answers = await asyncio.gather(
        *(writer.submit(write_or_refuse, text) for text in ("good 1", "bad", "good 2")), return_exceptions=True
    )
    assert isinstance(answers[1], Refused)
    assert stored(path) == ["good 1", "good 2"]


async def test_an_item_that_breaks_the_transaction_fails_alone(store: tuple[Writer, Path]) -> None:
    writer, path = store
    await writer.submit(write, "taken")
    answers = await asyncio.gather(
        *(writer.submit(write, text) for text in ("a", "taken", "b")), return_exceptions=True
    )
    assert [type(answer).__name__ for answer in answers] == ["int", "IntegrityError", "int"]
    assert stored(path) == ["taken", "a", "b"]


async def test_a_full_store_refuses_with_its_code_and_recovers(store: tuple[Writer, Path]) -> None:
    writer, path = store

    async def limit(connection: Connection, pages: Sequence[int]) -> list[None]:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages[-1]}")
        return [None] * len(pages)

    await writer.submit(limit, 8)
    with pytest.raises(Refused) as refusal:
        await writer.submit(write, "x" * 100_000)
    assert refusal.value.code is ErrorCode.STORAGE_FULL
    assert stored(path) == []
    await writer.submit(limit, 1_000_000)
    await writer.submit(write, "room again")
    assert stored(path) == ["room again"]


async def test_a_closed_writer_takes_nothing(tmp_path: Path) -> None:
    engine = open_store(tmp_path / "store.db")
    writer = Writer(engine)
    writer.start()
    await writer.close()
    with pytest.raises(Refused) as refusal:
        await writer.submit(write, "late")
    assert refusal.value.code is ErrorCode.STORE_UNAVAILABLE
    engine.dispose()


def test_a_store_has_one_owner(tmp_path: Path) -> None:
    lock = StoreLock(tmp_path / "store.db")
    with pytest.raises(Refused) as refusal:
        StoreLock(tmp_path / "store.db")
    assert refusal.value.code is ErrorCode.STORE_LOCKED
    lock.release()
    StoreLock(tmp_path / "store.db").release()


@pytest.mark.parametrize("name", ["a b", "50%20", "why?", "no. #1", "أرشيف"])
def test_a_store_is_where_its_path_says_whatever_signs_are_in_it(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    engine = open_store(folder / "store.db")
    with engine.begin() as connection:
        metadata.create_all(connection)
        connection.execute(insert(notes), [{"text": "here"}])
    engine.dispose()
    assert stored(folder / "store.db") == ["here"]
    assert {file.name for file in tmp_path.iterdir()} == {name}
