"""The books of a whole demonstration: what its agencies published must stand in the authority's record."""

# ruff: noqa: S608 - the statements are put together from what stands in this file

import contextlib
import json
import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deploy.command import run
from tests.deploy.playing import Played

pytestmark = pytest.mark.timeout(300)  # the demonstration is played for the first of them


@dataclass(frozen=True)
class Copy:
    """A copy of what a demonstration left, to be tampered with."""

    folder: Path
    capsys: pytest.CaptureFixture[str]

    @property
    def record(self) -> Path:
        return self.folder / "authority" / "authority.db"

    def tamper(self, table: str, statement: str) -> None:
        """Carry out ``statement`` on the authority's ``table``, without its constraints."""
        with contextlib.closing(sqlite3.connect(self.record)) as connection, connection:
            connection.execute(f"CREATE TABLE loose AS SELECT * FROM {table}")
            connection.execute(f"DROP TABLE {table}")
            connection.execute(f"ALTER TABLE loose RENAME TO {table}")
            assert connection.execute(statement).rowcount >= 1

    def books(self) -> tuple[int, dict[str, Any]]:
        """Exit code of `tarasul demo books`, and what it found."""
        self.capsys.readouterr()
        code = run(["demo", "books", str(self.folder), "--json"])
        found: dict[str, Any] = json.loads(self.capsys.readouterr().out)
        return code, found


@pytest.fixture
def copy(finished: Played, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Copy:
    folder = tmp_path / "demo"
    for part in ("authority", "agencies"):
        shutil.copytree(finished.folder / part, folder / part)
    shutil.copy(finished.folder / "broker-users.json", folder)
    return Copy(folder, capsys)


def test_read_again_the_books_are_those_of_the_demonstration(copy: Copy, finished: Played) -> None:
    code, found = copy.books()
    assert code == 0
    assert found == json.loads((finished.folder / "books.json").read_text("utf-8"))
    assert found["journalled"] > 0


@pytest.mark.parametrize(
    ("table", "statement", "differences"),
    [
        (
            "journal_tokens",
            "DELETE FROM journal_tokens WHERE rowid = (SELECT min(rowid) FROM journal_tokens)",
            ["the journal has no "],
        ),
        ("journal_tokens", "DELETE FROM journal_tokens", ["the journal has no "] * 10 + ["the journal lacks "]),
        ("journal_tokens", "UPDATE journal_tokens SET publisher = 'SAB' WHERE rowid = 1", ["the journal has no "]),
        ("journal_tokens", "UPDATE journal_tokens SET routing_key = 'x' WHERE rowid = 1", ["the journal has no "]),
        ("dead_letters", "UPDATE dead_letters SET verdict = 'waiting'", ["4 dead letters are waiting: not judged"]),
        ("journal_gaps", "INSERT INTO journal_gaps DEFAULT VALUES", ["the journal has 1 gaps"]),
        ("answers", "INSERT INTO answers (relay_state) VALUES (1)", ["1 answers of the authority were never"]),
        ("answers", "INSERT INTO answers (relay_state) VALUES ('x')", ["1 answers of the authority were never"]),
    ],
)
def test_a_record_that_was_tampered_with_upsets_the_books(
    table: str, statement: str, differences: list[str], copy: Copy
) -> None:
    copy.tamper(table, statement)
    code, found = copy.books()
    assert (code, found["balanced"]) == (1, False)
    assert len(found["differences"]) == len(differences)
    for difference, beginning in zip(found["differences"], differences, strict=True):
        assert difference.startswith(beginning)


def test_a_gap_that_somebody_has_acknowledged_does_not_upset_the_books(copy: Copy) -> None:
    copy.tamper("journal_gaps", "INSERT INTO journal_gaps (seq) VALUES (1), (2)")
    copy.tamper("journal_gap_acknowledgements", "INSERT INTO journal_gap_acknowledgements (gap_seq) VALUES (1), (NULL)")
    code, found = copy.books()
    assert (code, found["differences"]) == (1, ["the journal has 1 gaps that nobody has acknowledged"])
    copy.tamper("journal_gap_acknowledgements", "INSERT INTO journal_gap_acknowledgements (gap_seq) VALUES (2)")
    assert copy.books()[0] == 0


def test_a_damaged_record_is_noticed(copy: Copy) -> None:
    copy.record.write_bytes(b"not a database" * 1000)
    code, found = copy.books()
    assert (code, found["unverified"]) == (1, 1)
    assert "the store of the authority cannot be read" in found["differences"][0]
