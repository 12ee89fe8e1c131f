"""The directory's file changes under the authority's own programs."""

import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from broker.clock import Clock
from gateway.directory_file import DirectoryFile
from schemas.errors import ErrorCode
from tests.support.authority import MadeAuthority


@pytest.fixture
def made(tmp_path: Path) -> MadeAuthority:
    return MadeAuthority(tmp_path, agencies=["MPW"])


@pytest.fixture
def held(made: MadeAuthority) -> DirectoryFile:
    return DirectoryFile(made.write_directory(), [made.root.certificate], Clock())


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
