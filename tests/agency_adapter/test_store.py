"""A store's file: who may read it, who may use it, and what is said when it cannot be used."""

import fcntl
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from agency_adapter.mark import BLOCK, Mark, Progress
from agency_adapter.store.migrating import scripts
from agency_adapter.store.opening import HEAD, open_agency_store
from agency_adapter.store.tables import metadata
from schemas.errors import ErrorCode, Refused


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store of MPW, closed."""
    path = tmp_path / "mpw" / "store.db"
    open_agency_store(path, "MPW").close()
    return path


def refusal(path: Path, agency: str = "MPW") -> ErrorCode:
    with pytest.raises(Refused) as refused:
        open_agency_store(path, agency)
    assert not _is_locked(path), "a refused start holds nothing"
    return refused.value.code


def _is_locked(path: Path) -> bool:
    try:
        with path.with_suffix(".lock").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


# -- the file ------------------------------------------------------------------------------------------------


def test_a_store_has_one_owner_by_whatever_name_it_is_opened(store: Path) -> None:
    link = store.parent.parent / "another.db"
    link.symlink_to(store)
    opened = open_agency_store(link, "MPW")
    try:
        with pytest.raises(Refused) as refused:
            open_agency_store(store, "MPW")
    finally:
        opened.close()
    assert refused.value.code is ErrorCode.STORE_LOCKED
    assert opened.mark.path == store.with_suffix(".mark")


def test_nobody_but_its_owner_may_read_a_store(tmp_path: Path) -> None:
    path = tmp_path / "mpw" / "store.db"
    before = os.umask(0)
    try:
        store = open_agency_store(path, "MPW")
        modes = {file.name: oct(file.stat().st_mode & 0o777) for file in path.parent.iterdir()}
        store.close()
    finally:
        os.umask(before)
    assert {"store.db", "store.mark", "store.lock"} <= set(modes)
    assert set(modes.values()) == {"0o600"}
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_store_is_one_file_when_it_is_closed(store: Path) -> None:
    assert {file.name for file in store.parent.iterdir()} == {"store.db", "store.mark", "store.lock"}


def test_a_store_in_use_is_locked(store: Path) -> None:
    opened = open_agency_store(store, "MPW")
    with pytest.raises(Refused) as refused:
        open_agency_store(store, "MPW")
    assert refused.value.code is ErrorCode.STORE_LOCKED
    opened.close()
    open_agency_store(store, "MPW").close()


def test_another_agencys_store_is_refused(store: Path) -> None:
    assert refusal(store, "MOF") is ErrorCode.STORE_FOREIGN


def test_a_store_of_a_later_release_is_refused_and_left_as_it_is(store: Path) -> None:
    with sqlite3.connect(store) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    before = store.read_bytes()
    assert refusal(store) is ErrorCode.STORE_NEWER
    assert store.read_bytes() == before


def overwrite(store: Path) -> None:
    store.write_bytes(b"this is no database" * 1000)


def damage(store: Path) -> None:
    """The first pages but for the header: the schema cannot be read."""
    raw = bytearray(store.read_bytes())
    raw[100:8192] = b"\xff" * (8192 - 100)
    store.write_bytes(raw)


def make_a_folder_of_it(store: Path) -> None:
    store.unlink()
    store.mkdir()


@pytest.mark.parametrize("spoil", [overwrite, damage, make_a_folder_of_it])
def test_a_store_that_cannot_be_read_is_unavailable(store: Path, spoil: Callable[[Path], None]) -> None:
    spoil(store)
    assert refusal(store) is ErrorCode.STORE_UNAVAILABLE


def test_a_store_whose_folder_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert refusal(tmp_path / "file" / "store.db") is ErrorCode.STORE_UNAVAILABLE


# -- migrations ----------------------------------------------------------------------------------------------


def test_head_is_the_newest_migration() -> None:
    assert scripts().get_heads() == [HEAD]


def test_the_migrated_schema_is_the_one_that_the_tables_say(store: Path) -> None:
    opened = open_agency_store(store, "MPW")
    with opened.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []
        indexes = {
            (name, sql)
            for name, sql in connection.exec_driver_sql(
                "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
            )
        }
    opened.close()
    waiting = {name for name, sql in indexes if "relay_state = 0" in sql}
    assert waiting == {"transmissions_waiting", "receipts_issued_waiting", "quarantine_waiting"}
    claimed = {name for name, sql in indexes if "relay_state = 1" in sql}
    assert claimed == {"transmissions_claimed", "receipts_issued_claimed", "quarantine_claimed"}
    assert next(sql for name, sql in indexes if name == "transmissions_open").endswith("relay_state = 2")


def test_a_current_store_opens_without_the_migration_library(store: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from agency_adapter.store.opening import open_agency_store;"
        f"open_agency_store(Path({str(store)!r}), 'MPW').close(); sys.exit('alembic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


# -- the mark ------------------------------------------------------------------------------------------------

MARK = {"store_id": "x", "epoch": 1, "letters": 0, "arrivals": 0, "receipts": 0, "reserved": {}}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "null",
        "[]",
        '"mark"',
        "\ud800".encode("utf-8", "surrogatepass"),
        json.dumps(MARK),  # of another store
        *(json.dumps({name: value for name, value in MARK.items() if name != left}) for left in MARK),
        json.dumps(MARK | {"letters": "many"}),
        json.dumps(MARK | {"reserved": []}),
        json.dumps(MARK | {"reserved": {"sideways:2026": 5}}),
        json.dumps(MARK | {"reserved": {"outgoing:": 5}}),
        json.dumps(MARK | {"reserved": {"outgoing:2026": None}}),
    ],
)
def test_a_mark_that_is_not_this_stores_is_refused(store: Path, content: str | bytes) -> None:
    mark = store.with_suffix(".mark")
    own = json.loads(mark.read_text())["store_id"]
    raw = content if isinstance(content, bytes) else content.encode()
    if raw != json.dumps(MARK).encode():
        raw = raw.replace(b'"x"', json.dumps(own).encode())
    mark.write_bytes(raw)
    assert refusal(store) is ErrorCode.MARK_INVALID
    assert mark.read_bytes() == raw


def test_a_mark_that_is_a_folder_is_refused(store: Path) -> None:
    store.with_suffix(".mark").unlink()
    store.with_suffix(".mark").mkdir()
    assert refusal(store) is ErrorCode.MARK_INVALID


def test_numbers_are_reserved_in_blocks_before_they_are_used(tmp_path: Path) -> None:
    mark = Mark(tmp_path / "store.mark", "id")
    mark.reserve("outgoing", 2026, 1)
    written = mark.path.stat().st_mtime_ns, mark.path.stat().st_ino
    for number in range(2, 2 + BLOCK):
        mark.reserve("outgoing", 2026, number)
    assert (mark.path.stat().st_mtime_ns, mark.path.stat().st_ino) == written
    mark.reserve("outgoing", 2026, 2 + BLOCK)
    found = Mark.read(mark.path, "id")
    assert found is not None
    assert found.reserved_up_to("outgoing", 2026) == 2 + 2 * BLOCK
    assert found.reserved_up_to("incoming", 2026) == 0


def test_on_a_full_disk_nothing_is_reserved_and_the_old_mark_stands(tmp_path: Path) -> None:
    mark = Mark(tmp_path / "store.mark", "id")
    mark.save(flush=True)
    before = mark.path.read_bytes()
    (tmp_path / "store.mark-new").symlink_to("/dev/full")  # where every write finds no room
    for _ in range(2):
        with pytest.raises(Refused) as refused:
            mark.reserve("outgoing", 2026, 1)
        assert refused.value.code is ErrorCode.STORAGE_FULL
        assert mark.reserved_up_to("outgoing", 2026) == 0
    assert mark.path.read_bytes() == before
    (tmp_path / "store.mark-new").unlink()
    mark.reserve("outgoing", 2026, 1)
    assert Mark.read(mark.path, "id") is not None


@pytest.mark.parametrize(
    ("now", "behind"),
    [
        (Progress(5, 5, 5), False),
        (Progress(9, 5, 5), False),
        (Progress(4, 9, 9), True),
        (Progress(9, 4, 9), True),
        (Progress(9, 9, 4), True),
    ],
)
def test_a_store_is_behind_when_it_lacks_anything(now: Progress, behind: bool) -> None:
    assert now.behind(Progress(5, 5, 5)) is behind
