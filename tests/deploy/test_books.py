"""The books notice whatever is done to a store: on copies of a finished demonstration, one change each."""

# ruff: noqa: S608 - the statements are put together from what stands in this file

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deploy.command import run
from schemas.errors import ErrorCode
from tests.deploy.playing import Played

pytestmark = pytest.mark.timeout(300)  # the demonstration is played for the first of them

TO_MOF = "recipient = 'MOF' AND event = 'delivered'"


@dataclass(frozen=True)
class Copy:
    """A copy of the stores, to be tampered with."""

    folder: Path
    capsys: pytest.CaptureFixture[str]

    def store(self, code: str) -> Path:
        return self.folder / "agencies" / code / "store.db"

    def change(self, code: str, statement: str, *values: object) -> None:
        """Carry out one statement that changes exactly one row."""
        with closing(sqlite3.connect(self.store(code))) as connection, connection:
            assert connection.execute(statement, values).rowcount == 1, statement

    def value(self, code: str, statement: str) -> Any:
        """The first column of the first row."""
        with closing(sqlite3.connect(self.store(code))) as connection:
            return connection.execute(statement).fetchone()[0]

    def double(self, code: str, table: str, where: str) -> None:
        """A row twice, in a table without the constraints that forbid it."""
        with closing(sqlite3.connect(self.store(code))) as connection, connection:
            connection.execute(f"CREATE TABLE bare AS SELECT * FROM {table}")
            connection.execute(f"DROP TABLE {table}")
            connection.execute(f"ALTER TABLE bare RENAME TO {table}")
            statement = (
                f"INSERT INTO {table} SELECT * FROM {table} WHERE seq = (SELECT min(seq) FROM {table} WHERE {where})"
            )
            assert connection.execute(statement).rowcount == 1

    def books(self) -> tuple[int, dict[str, Any]]:
        """Exit code of `tarasul demo books`, and what it found."""
        self.capsys.readouterr()
        code = run(["demo", "books", str(self.folder), "--json"])
        found: dict[str, Any] = json.loads(self.capsys.readouterr().out)
        assert json.loads((self.folder / "books.json").read_text("utf-8")) == found
        return code, found

    def unbalanced(self) -> dict[str, Any]:
        """What the books say, which must be that they do not balance."""
        code, found = self.books()
        assert (code, found["balanced"]) == (1, False)
        assert found["differences"] or found["twice"], found
        return found


@pytest.fixture
def copy(finished: Played, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Copy:
    folder = tmp_path / "demo"
    for part in ("authority", "agencies"):
        shutil.copytree(finished.folder / part, folder / part)
    shutil.copy(finished.folder / "broker-users.json", folder)
    return Copy(folder, capsys)


def _first(table: str, where: str = "1") -> str:
    return f"seq = (SELECT min(seq) FROM {table} WHERE {where})"


def test_untouched_books_balance(copy: Copy, finished: Played) -> None:
    code, found = copy.books()
    assert code == 0
    assert found == json.loads((finished.folder / "books.json").read_text("utf-8"))


def test_reading_the_books_changes_no_store(copy: Copy) -> None:
    before = {code: copy.store(code).read_bytes() for code in ("MPW", "MOF", "SAB")}
    copy.books()
    assert {code: copy.store(code).read_bytes() for code in before} == before


def test_the_books_are_told_in_words(copy: Copy, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["demo", "books", str(copy.folder)]) == 0
    assert "The books balance: every letter is accounted for." in capsys.readouterr().out
    copy.change("MOF", f"DELETE FROM inbox WHERE {_first('inbox')}")
    assert run(["demo", "books", str(copy.folder)]) == 1
    told = capsys.readouterr().out
    assert "The books do not balance." in told
    assert "MPW to MOF" in told


# A row is missing


@pytest.mark.parametrize(
    ("code", "table", "where", "left_over"),
    [
        ("MPW", "receipts_received", TO_MOF, 1),
        ("MPW", "receipts_received", "recipient = 'SAB'", 1),
        ("MPW", "receipts_received", "event = 'registered'", 0),
        ("MOF", "receipts_issued", "event = 'delivered'", 0),
        ("MOF", "receipts_issued", "event = 'registered'", 0),
        ("MOF", "inbox", "1", 0),
        ("SAB", "inbox", "1", 0),
        ("MPW", "transmissions", "1", 0),
        ("MPW", "letters", "1", 0),
        ("MOF", "letters", "1", 0),
    ],
)
def test_a_row_that_is_missing_is_noticed(code: str, table: str, where: str, left_over: int, copy: Copy) -> None:
    copy.change(code, f"DELETE FROM {table} WHERE {_first(table, where)}")
    assert copy.unbalanced()["left_over"] == left_over


def test_a_receipt_that_is_missing_at_both_ends_is_noticed(copy: Copy) -> None:
    jti = copy.value("MPW", f"SELECT jti FROM receipts_received WHERE {TO_MOF}")
    copy.change("MPW", "DELETE FROM receipts_received WHERE jti = ?", jti)
    copy.change("MOF", "DELETE FROM receipts_issued WHERE jti = ?", jti)
    assert copy.unbalanced()["left_over"] == 1


def test_a_registration_that_nobody_signed_is_noticed(copy: Copy) -> None:
    for code, table in (("MPW", "receipts_received"), ("MOF", "receipts_issued")):
        copy.change(code, f"DELETE FROM {table} WHERE event = 'registered'")
    assert any("registered" in difference for difference in copy.unbalanced()["differences"])


def test_a_letter_that_its_recipient_never_got_is_noticed_though_receipts_say_so(copy: Copy) -> None:
    copy.change("SAB", "DELETE FROM inbox")
    assert any("signed that it holds" in difference for difference in copy.unbalanced()["differences"])


@pytest.mark.parametrize("code", ["MPW", "MOF", "SAB"])
def test_a_store_that_is_missing_is_noticed(code: str, copy: Copy) -> None:
    for file in copy.store(code).parent.glob("store.db*"):
        file.unlink()
    assert copy.unbalanced()["agencies"] == 2


def test_no_store_at_all_does_not_balance(copy: Copy, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(copy.folder / "agencies")
    assert run(["demo", "books", str(copy.folder)]) == 1
    assert capsys.readouterr().err.count(f"[{ErrorCode.FILE_UNREADABLE}]") == 2


def test_without_a_directory_nothing_can_be_verified(copy: Copy, capsys: pytest.CaptureFixture[str]) -> None:
    (copy.folder / "authority" / "directory.jws").unlink()
    assert run(["demo", "books", str(copy.folder)]) == 3
    assert capsys.readouterr().err.count(f"[{ErrorCode.DIRECTORY_UNREADABLE}]") == 2


# A row is too many


@pytest.mark.parametrize(
    ("code", "table", "where"),
    [
        ("MOF", "inbox", "1"),
        ("MPW", "receipts_received", TO_MOF),
        ("MOF", "receipts_issued", "event = 'delivered'"),
        ("MPW", "letters", "1"),
    ],
)
def test_a_row_that_stands_twice_is_counted(code: str, table: str, where: str, copy: Copy) -> None:
    copy.double(code, table, where)
    assert copy.unbalanced()["twice"] >= 1


def test_a_transmission_that_stands_twice_is_noticed(copy: Copy) -> None:
    copy.double("MPW", "transmissions", "1")
    assert copy.unbalanced()["differences"]


def test_a_number_given_twice_is_counted(copy: Copy) -> None:
    number = copy.value("MOF", "SELECT incoming_no FROM inbox WHERE incoming_no IS NOT NULL")
    copy.double("MOF", "inbox", "incoming_no IS NULL")
    copy.change("MOF", "UPDATE inbox SET incoming_no = ?, year = (SELECT max(year) FROM inbox) WHERE rowid = "
                "(SELECT max(rowid) FROM inbox)", number)  # fmt: skip
    assert copy.unbalanced()["twice"] >= 2


# Signed bytes that are not what was signed


@pytest.mark.parametrize("part", [0, 1, 2], ids=["header", "payload", "signature"])
@pytest.mark.parametrize(
    ("code", "table", "column"),
    [
        ("MPW", "letters", "letter_jws"),
        ("MOF", "inbox", "letter_jws"),
        ("MPW", "receipts_received", "receipt_jws"),
        ("MOF", "receipts_issued", "receipt_jws"),
    ],
)
def test_a_changed_byte_of_a_token_is_noticed(code: str, table: str, column: str, part: int, copy: Copy) -> None:
    parts = copy.value(code, f"SELECT {column} FROM {table} WHERE {_first(table)}").split(b".")
    middle = len(parts[part]) // 2
    other = b"A" if parts[part][middle : middle + 1] != b"A" else b"B"
    parts[part] = parts[part][:middle] + other + parts[part][middle + 1 :]
    copy.change(code, f"UPDATE {table} SET {column} = ? WHERE {_first(table)}", b".".join(parts))
    assert copy.unbalanced()["unverified"] == 1


@pytest.mark.parametrize(
    ("code", "table", "column"), [("MOF", "inbox", "letter_jws"), ("MPW", "receipts_received", "receipt_jws")]
)
def test_another_genuine_token_in_its_place_is_noticed(code: str, table: str, column: str, copy: Copy) -> None:
    another = copy.value(code, f"SELECT {column} FROM {table} ORDER BY seq DESC")
    copy.change(code, f"UPDATE {table} SET {column} = ? WHERE {_first(table)}", another)
    found = copy.unbalanced()
    assert found["unverified"] >= 1
    assert found["twice"] >= 1


# Columns that do not say what the bytes say


@pytest.mark.parametrize(
    ("code", "table", "change"),
    [
        ("MPW", "transmissions", "state = 'sent'"),
        ("MPW", "transmissions", "state = 'not_delivered'"),
        ("MPW", "transmissions", "relay_state = 2"),
        ("MPW", "transmissions", "digest = 'other'"),
        ("MPW", "transmissions", "recipient = 'KUNA'"),
        ("MPW", "letters", "letter_id = 'other'"),
        ("MPW", "letters", "outgoing_no = 'other'"),
        ("MPW", "letters", "digest = 'other'"),
        ("MOF", "inbox", "sender = 'SAB'"),
        ("MOF", "inbox", "digest = 'other'"),
        ("MOF", "inbox", "incoming_no = 'other'"),
        ("MPW", "receipts_received", "digest = 'other'"),
        ("MPW", "receipts_received", "jti = 'other'"),
        ("MPW", "receipts_received", "event = 'other'"),
        ("MOF", "receipts_issued", "event = 'other'"),
    ],
)
def test_a_column_that_lies_is_noticed(code: str, table: str, change: str, copy: Copy) -> None:
    copy.change(code, f"UPDATE {table} SET {change} WHERE {_first(table)}")
    assert copy.unbalanced()["differences"]


@pytest.mark.parametrize(("code", "table"), [("MOF", "receipts_issued"), ("MOF", "quarantine")])
def test_what_was_never_published_is_left_over(code: str, table: str, copy: Copy) -> None:
    copy.change(code, f"UPDATE {table} SET relay_state = 0 WHERE {_first(table)}")
    assert copy.unbalanced()["left_over"] == 1


def test_an_intruders_letter_made_out_to_be_genuine_is_noticed(copy: Copy) -> None:
    copy.change("MOF", f"UPDATE quarantine SET authentic = 1 WHERE {_first('quarantine')}")
    assert any("told nobody" in difference for difference in copy.unbalanced()["differences"])


def _torn(store: Path) -> None:
    content = bytearray(store.read_bytes())
    content[4096:] = bytes(len(content) - 4096)
    store.write_bytes(content)


def _no_database(store: Path) -> None:
    store.write_bytes(b"not a database" * 1000)


def _without_a_table(store: Path) -> None:
    with closing(sqlite3.connect(store)) as connection, connection:
        connection.execute("DROP TABLE quarantine")


@pytest.mark.parametrize("damage", [_torn, _no_database, _without_a_table])
def test_a_damaged_store_is_noticed_and_the_others_are_read(damage: Callable[[Path], None], copy: Copy) -> None:
    damage(copy.store("MOF"))
    found = copy.unbalanced()
    assert found["agencies"] == 3
    assert found["unverified"] >= 1
    assert found["accepted"] >= 101
