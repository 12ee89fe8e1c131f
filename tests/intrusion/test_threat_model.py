"""The threat model names tests that exist and every reason of an incident: a promise without a test is none."""

import re
from pathlib import Path

from schemas.reasons import IncidentReason

TREE = Path(__file__).parents[2]
DOCUMENT = TREE / "docs" / "threat-model.md"
COLUMNS = ["boundary", "threat", "control", "default", "test"]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def boundary_rows() -> list[list[str]]:
    """The table under the heading *Boundaries*, without its head."""
    section = DOCUMENT.read_text("utf-8").split("\n## Boundaries\n")[1].split("\n## ")[0]
    head, _, *rows = [cells(line) for line in section.splitlines() if line.startswith("|")]
    assert head == COLUMNS
    return rows


def names_of_tests() -> set[str]:
    return {
        name
        for file in (TREE / "tests").rglob("test_*.py")
        for name in re.findall(r"^(?:async )?def (test_\w+)\(", file.read_text("utf-8"), re.MULTILINE)
    }


def test_every_threat_has_a_control_a_default_and_a_named_test() -> None:
    for row in boundary_rows():
        assert len(row) == len(COLUMNS), row
        assert all(row), row
        assert re.fullmatch(r"`test_\w+`(, `test_\w+`)*", row[-1]), row[1]


def test_every_test_that_the_threat_model_names_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", DOCUMENT.read_text("utf-8")))
    assert len(named) > len(boundary_rows())
    assert named - names_of_tests() == set()


def test_every_reason_of_an_incident_stands_in_the_threat_model() -> None:
    named = set(re.findall(r"`([a-z_]+)`", DOCUMENT.read_text("utf-8")))
    assert set(IncidentReason) - named == set()


def test_every_attack_of_this_room_stands_in_the_threat_model() -> None:
    ours = {
        name
        for file in ("test_wall.py", "test_tricks.py", "test_own_mail.py", "test_floods.py")
        for name in re.findall(r"def (test_\w+)\(", (TREE / "tests" / "intrusion" / file).read_text("utf-8"))
    }
    assert ours - set(re.findall(r"`(test_\w+)`", DOCUMENT.read_text("utf-8"))) == set()
