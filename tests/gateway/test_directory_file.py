"""The directory's file changes under the authority's own programs."""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from broker.clock import Clock
from broker.writer import Writer
from gateway.directory_file import DirectoryFile
from gateway.newest_directory import NewestDirectory, newest_directory, note_directory
from gateway.store.opening import GatewayStore, open_gateway_store
from schemas.errors import ErrorCode, Refused
from tests.gateway.databases import place, postgres, store
from tests.support.adapters import eventually
from tests.support.authority import MadeAuthority
from tests.support.postgres import Postgres

__all__ = ["place", "postgres", "store"]


@pytest.fixture
def made(tmp_path: Path) -> MadeAuthority:
    return MadeAuthority(tmp_path, agencies=["MPW"])


def opened(made: MadeAuthority, file: Path, newest: NewestDirectory | None = None) -> DirectoryFile:
    return DirectoryFile(file, [made.root.certificate], Clock(), newest)


@pytest.fixture
def held(made: MadeAuthority) -> DirectoryFile:
    return opened(made, made.write_directory())


def replace(made: MadeAuthority) -> None:
    made.write_directory(made.folder / "directory.draft").replace(made.folder / "directory.jws")


def problem_of(held: DirectoryFile) -> ErrorCode | None:
    return held.problem.code if held.problem is not None else None


def test_a_newer_version_takes_effect_and_an_older_one_does_not(made: MadeAuthority, held: DirectoryFile) -> None:
    made.version = 3
    replace(made)
    assert held.refresh()
    made.version = 2
    replace(made)
    assert not held.refresh()
    assert (held.current.version, problem_of(held)) == (3, ErrorCode.DIRECTORY_ROLLED_BACK)


def test_another_directory_of_the_version_in_force_is_refused(made: MadeAuthority, held: DirectoryFile) -> None:
    first = held.current.digest
    made.change_agency("MPW", status="suspended")
    replace(made)
    assert not held.refresh()
    assert (held.current.digest, problem_of(held)) == (first, ErrorCode.DIRECTORY_FORKED)


def test_a_file_that_comes_back_as_it_was_is_no_problem_any_more(made: MadeAuthority, held: DirectoryFile) -> None:
    file = made.folder / "directory.jws"
    away = file.rename(made.folder / "away.jws")
    assert not held.refresh()
    assert problem_of(held) is ErrorCode.DIRECTORY_UNREADABLE
    away.rename(file)
    assert not held.refresh(), "the same version"
    assert held.problem is None


def test_one_problem_is_logged_once_however_long_it_lasts(made: MadeAuthority, held: DirectoryFile) -> None:
    file = made.folder / "directory.jws"
    with capture_logs() as logs:
        file.write_bytes(b"no directory")
        for _ in range(3):
            assert not held.refresh()
        os.truncate(file, 2**42)  # four tebibytes of nothing: nobody who reads them all comes back
        for _ in range(3):
            assert not held.refresh()
    assert [entry["code"] for entry in logs] == [ErrorCode.TOKEN_MALFORMED, ErrorCode.TOKEN_TOO_LARGE]


# Across restarts, and beside other processes


def test_an_older_directory_is_refused_by_a_process_that_starts(made: MadeAuthority) -> None:
    made.version = 2
    with pytest.raises(Refused) as refused:
        opened(made, made.write_directory(), NewestDirectory(3, "a" * 64))
    assert refused.value.code is ErrorCode.DIRECTORY_ROLLED_BACK


def test_another_directory_of_the_newest_version_is_refused_by_a_process_that_starts(made: MadeAuthority) -> None:
    made.version = 3
    file = made.write_directory()
    mine = opened(made, file).in_force
    assert opened(made, file, mine).current.version == 3
    with pytest.raises(Refused) as refused:
        opened(made, file, NewestDirectory(3, "a" * 64))
    assert refused.value.code is ErrorCode.DIRECTORY_FORKED


def test_a_newer_version_than_the_store_knows_is_to_be_noted_again(made: MadeAuthority) -> None:
    made.version = 3
    held = opened(made, made.write_directory())
    assert not held.is_noted
    held.noted(held.in_force)
    assert held.is_noted
    made.version = 4
    replace(made)
    assert held.refresh()
    assert not held.is_noted
    made.version = 3
    replace(made)
    assert not held.refresh(), "the one in force counts, noted or not"
    assert (held.current.version, problem_of(held)) == (4, ErrorCode.DIRECTORY_ROLLED_BACK)


@pytest.mark.parametrize(("version", "code"), [(4, ErrorCode.DIRECTORY_ROLLED_BACK), (3, ErrorCode.DIRECTORY_FORKED)])
def test_what_another_process_has_noted_meanwhile_is_a_problem_until_the_file_is_newer(
    made: MadeAuthority, version: int, code: ErrorCode
) -> None:
    made.version = 3
    held = opened(made, made.write_directory())
    held.noted(NewestDirectory(version, "a" * 64))
    assert not held.refresh()
    assert problem_of(held) is code
    made.version = 5
    replace(made)
    assert held.refresh()
    assert held.problem is None


async def test_the_store_keeps_the_newest_and_the_first_of_two_with_one_number(store: GatewayStore) -> None:
    writer = Writer(store.engine)
    writer.start()
    three, other, four = NewestDirectory(3, "a" * 64), NewestDirectory(3, "b" * 64), NewestDirectory(4, "c" * 64)
    with store.readings.connect() as connection:
        assert newest_directory(connection) is None
    noted = [await writer.submit(note_directory, each) for each in (three, other, four, three)]
    assert noted == [three, three, four, four]
    await writer.close()
    with store.readings.connect() as connection:
        assert newest_directory(connection) == four


def test_two_processes_that_note_at_once_leave_the_newer(postgres: Postgres) -> None:
    """Neither has found anything there; PostgreSQL lets both go on, and the second one waits for the first's row."""
    here = postgres.new_database()
    one, other = open_gateway_store(here, Path()), open_gateway_store(here, Path())
    three, four = NewestDirectory(3, "a" * 64), NewestDirectory(4, "b" * 64)

    def second() -> list[NewestDirectory]:
        with other.engine.begin() as connection:
            return asyncio.run(note_directory(connection, [three]))

    def waits() -> bool:
        with other.readings.connect() as connection:
            waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            return connection.exec_driver_sql(waiting).scalar_one() == 1

    with ThreadPoolExecutor() as threads, one.engine.connect() as first:
        assert asyncio.run(note_directory(first, [four])) == [four]
        noting = threads.submit(second)
        eventually(waits, "the second waits for the first")
        first.commit()
        assert noting.result() == [four]
    one.close()
    other.close()
