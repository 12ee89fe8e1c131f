"""`tarasul authority dead-letters …` on an authority that has recorded nothing yet."""

import json
from pathlib import Path

import pytest

from tests.gateway.topology_bed import Terminal


def test_a_record_without_entries_says_so(authority: Path, terminal: Terminal) -> None:
    config = authority / "authority" / "authority.toml"
    assert "nothing" in terminal("authority", "dead-letters", "list", "--config", config).out
    told = terminal("authority", "dead-letters", "list", "--json", "--config", config)
    assert (told.code, told.document, told.err) == (0, {"items": [], "next": None}, "")


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_an_entry_that_is_not_there_is_refused_in_both_languages(
    authority: Path, terminal: Terminal, more: tuple[str, ...]
) -> None:
    config = authority / "authority" / "authority.toml"
    told = terminal("authority", "dead-letters", "show", "7", "--config", config, *more)
    assert (told.code, told.out) == (1, "")
    if more:
        refused = json.loads(told.err)
        assert refused["code"] == "dead_letter_not_found"
        assert "7" in refused["detail"]
        assert "7" in refused["detail_ar"]
    else:
        assert told.err.count("[dead_letter_not_found]") == 2
        assert "7" in told.err


def test_a_page_larger_than_is_served_is_wrong_use(authority: Path, terminal: Terminal) -> None:
    config = authority / "authority" / "authority.toml"
    assert terminal("authority", "dead-letters", "list", "--limit", "1001", "--config", config).code == 2
