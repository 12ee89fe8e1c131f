"""`tarasul authority dead-letters …` where nothing has been recorded yet, and on a store of another release."""

import json
from pathlib import Path

import pytest
from sqlalchemy import text

from gateway.store.opening import open_gateway_store
from tests.gateway.databases import place, postgres
from tests.gateway.topology_bed import Terminal

__all__ = ["place", "postgres"]


@pytest.fixture
def config(authority: Path, place: str) -> Path:
    """The settings of an authority whose store is in ``place``, on either database; there is none yet."""
    file = authority / "authority" / "authority.toml"
    file.write_text(f'store = "{place}"\n' + file.read_text("utf-8"), "utf-8")
    return file


@pytest.fixture
def recording(config: Path, place: str) -> Path:
    """The same; its readers have run before, and have recorded nothing."""
    open_gateway_store(place, Path()).close()
    return config


def test_a_record_without_entries_says_so(recording: Path, terminal: Terminal) -> None:
    assert "nothing" in terminal("authority", "dead-letters", "list", "--config", recording).out
    told = terminal("authority", "dead-letters", "list", "--json", "--config", recording)
    assert (told.code, told.document, told.err) == (0, {"items": [], "next": None}, "")


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_an_entry_that_is_not_there_is_refused_in_both_languages(
    recording: Path, terminal: Terminal, more: tuple[str, ...]
) -> None:
    told = terminal("authority", "dead-letters", "show", "7", "--config", recording, *more)
    assert (told.code, told.out) == (1, "")
    if more:
        refused = json.loads(told.err)
        assert refused["code"] == "dead_letter_not_found"
        assert "7" in refused["detail"]
        assert "7" in refused["detail_ar"]
    else:
        assert told.err.count("[dead_letter_not_found]") == 2
        assert "7" in told.err


def test_a_page_larger_than_is_served_is_wrong_use(recording: Path, terminal: Terminal) -> None:
    assert terminal("authority", "dead-letters", "list", "--limit", "1001", "--config", recording).code == 2


def test_a_listing_makes_no_store(config: Path, place: str, terminal: Terminal) -> None:
    for _ in range(2):
        told = terminal("authority", "dead-letters", "list", "--config", config)
        assert (told.code, told.out) == (3, "")
        assert told.err.count("[store_missing]") == 2
        assert place in told.err
    assert not Path(place).exists()


@pytest.mark.parametrize(("revision", "code"), [("0002", "store_older"), ("9999", "store_newer")])
def test_a_listing_leaves_a_store_of_another_release_as_it_is_and_says_so(
    recording: Path, place: str, terminal: Terminal, revision: str, code: str
) -> None:
    opened = open_gateway_store(place, Path())
    with opened.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})
    for arguments in (("list",), ("show", "1")):
        told = terminal("authority", "dead-letters", *arguments, "--config", recording)
        assert (told.code, told.out) == (1, "")
        assert told.err.count(f"[{code}]") == 2
        assert revision in told.err
    with opened.readings.connect() as connection:
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() == revision
    opened.close()
