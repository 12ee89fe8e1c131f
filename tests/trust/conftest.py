"""One authority and one directory for all tests of the room that only read them."""

from pathlib import Path

import pytest

from tests.support.authority import MadeAuthority
from tests.trust.verifying import Case
from trust.directory import Directory


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> MadeAuthority:
    """Of now, with MPW and MOF. Not to be changed: a test that needs another makes one of its own."""
    return MadeAuthority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def directory(authority: MadeAuthority) -> Directory:
    return authority.directory()


@pytest.fixture(scope="session")
def directory_file(authority: MadeAuthority) -> Path:
    return authority.write_directory()


@pytest.fixture
def case(authority: MadeAuthority, directory_file: Path, tmp_path: Path) -> Case:
    """A folder of its own in which documents are verified with the root and the directory."""
    return Case(authority, tmp_path, directory_file)
