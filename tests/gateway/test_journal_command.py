"""`tarasul authority journal …`: gaps are listed, and somebody says that they were looked at."""

from pathlib import Path

import pytest
from sqlalchemy import func, insert, select, text

from gateway.journal_gaps import count
from gateway.store.opening import open_gateway_store
from gateway.store.tables import journal_gap_acknowledgements, journal_gaps
from tests.gateway.databases import place, postgres
from tests.gateway.topology_bed import Ran, Terminal

__all__ = ["place", "postgres"]
NOTED = 1_790_000_000_000


@pytest.fixture
def config(authority: Path, place: str) -> Path:
    """The settings of an authority whose journal has two gaps, on either database."""
    file = authority / "authority" / "authority.toml"
    file.write_text(f'store = "{place}"\n' + file.read_text("utf-8"), "utf-8")
    store = open_gateway_store(place, Path())
    with store.engine.begin() as connection:
        for seq, kind, first in ((1, "truncated", 9), (2, "re-created", None)):
            row = {"seq": seq, "kind": kind, "incarnation": 1, "after_offset": 4, "first_offset": first}
            connection.execute(insert(journal_gaps).values(**row, noted_at=NOTED))
    store.close()
    return file


def acknowledged(terminal: Terminal, config: Path, seq: int, by: str, reason: str, *more: str) -> Ran:
    word = ("--by", by, "--reason", reason)
    return terminal("authority", "journal", "acknowledge-gap", seq, *word, "--config", config, *more)


def gaps(terminal: Terminal, config: Path) -> dict[int, tuple[object, ...]]:
    listed = terminal("authority", "journal", "gaps", "--json", "--config", config)
    assert listed.code == 0
    return {
        item["seq"]: (item["kind"], item["acknowledged_by"], item["reason"], item["acknowledged_at"] is not None)
        for item in listed.document["items"]
    }


def open_gaps(place: str) -> tuple[int, int]:
    """All of them, and those that turn the check red."""
    store = open_gateway_store(place, Path())
    with store.readings.connect() as connection:
        found = count(connection)
    store.close()
    return found


def test_a_gap_stays_on_record_with_who_looked_at_it_and_why(config: Path, place: str, terminal: Terminal) -> None:
    assert open_gaps(place) == (2, 2)
    told = acknowledged(terminal, config, 1, "نورة", "the disk was full")
    assert (told.code, told.err) == (0, "")
    assert "سُجّل الإقرار بالفجوة 1 باسم نورة" in told.out
    assert "Gap 1 is acknowledged by نورة" in told.out
    assert gaps(terminal, config) == {
        1: ("truncated", "نورة", "the disk was full", True),
        2: ("re-created", None, None, False),
    }
    assert open_gaps(place) == (2, 1)
    second, first = terminal("authority", "journal", "gaps", "--config", config).out.splitlines()
    assert "not acknowledged" in second
    assert "1/4 → ?" in second
    assert "نورة" in first
    assert first.endswith("the disk was full")


def test_who_acknowledges_a_gap_again_is_told_the_first_word_and_changes_nothing(
    config: Path, place: str, terminal: Terminal
) -> None:
    first = acknowledged(terminal, config, 2, "Noura", "the queue was deleted", "--json")
    again = acknowledged(terminal, config, 2, "Somebody", "something else", "--json")
    assert (first.code, again.code) == (0, 0)
    assert first.document["new"]
    assert again.document == first.document | {"new": False}
    assert "by Noura" in acknowledged(terminal, config, 2, "Somebody", "something else").out
    assert open_gaps(place) == (2, 1)


def test_a_gap_that_is_not_there_is_refused_in_both_languages(config: Path, place: str, terminal: Terminal) -> None:
    told = acknowledged(terminal, config, 7, "Noura", "nothing")
    assert (told.code, told.out) == (1, "")
    assert told.err.count("[journal_gap_not_found]") == 2
    assert "7" in told.err
    assert open_gaps(place) == (2, 2)


@pytest.mark.parametrize(("by", "reason"), [(" ", "a reason"), ("Noura", ""), ("N" * 101, "x"), ("N", "x" * 1001)])
def test_without_a_name_or_a_reason_nothing_is_acknowledged(
    config: Path, place: str, terminal: Terminal, by: str, reason: str
) -> None:
    assert acknowledged(terminal, config, 1, by, reason).code == 2
    assert open_gaps(place) == (2, 2)


def test_what_was_given_as_a_reason_does_not_speak_to_the_terminal(config: Path, terminal: Terminal) -> None:
    assert acknowledged(terminal, config, 1, "N\x1b[2J", "\x1b]0;owned\x07\nforged line").code == 0
    told = terminal("authority", "journal", "gaps", "--config", config).out
    assert "\x1b" not in told
    assert len(told.splitlines()) == 2


def test_a_store_of_another_release_is_not_brought_up_to_date_by_an_acknowledgement(
    config: Path, place: str, terminal: Terminal
) -> None:
    store = open_gateway_store(place, Path())
    with store.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0003'"))
    told = acknowledged(terminal, config, 1, "Noura", "a reason")
    assert (told.code, told.err.count("[store_older]")) == (1, 2)
    with store.readings.connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == "0003"
        assert connection.execute(select(func.count()).select_from(journal_gap_acknowledgements)).scalar() == 0
    store.close()


def test_a_journal_without_gaps_says_so(authority: Path, terminal: Terminal) -> None:
    open_gateway_store("authority.db", authority / "authority").close()
    file = authority / "authority" / "authority.toml"
    told = terminal("authority", "journal", "gaps", "--config", file)
    assert (told.code, told.out) == (0, "لا شيء · nothing\n")
