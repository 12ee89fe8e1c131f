"""The locks in `requirements/`: pinned by hash, without an address, and within what the project asks for."""

import re
import tomllib
from pathlib import Path

import pytest

TREE = Path(__file__).parents[2]
LOCKS = ("run.txt", "dev.txt")


def _blocks(lock: str) -> list[list[str]]:
    """The requirements of a lock, each with its continuation lines; comments left out."""
    blocks: list[list[str]] = []
    for line in (TREE / "requirements" / lock).read_text("utf-8").splitlines():
        if line.strip().startswith("#") or not line.strip():
            continue
        if line.startswith(" "):
            blocks[-1].append(line.strip())
        else:
            blocks.append([line.strip()])
    return blocks


def _pins(lock: str) -> dict[str, tuple[int, ...]]:
    pins = {}
    for block in _blocks(lock):
        found = re.match(r"([a-z0-9][a-z0-9-]*)(?:\[[a-z,]+\])?==([0-9.]+)(?=[ \\]|$)", block[0])
        assert found, block[0]
        pins[found[1]] = tuple(map(int, found[2].split(".")))
    return pins


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_of_a_lock_has_its_hashes(lock: str) -> None:
    blocks = _blocks(lock)
    assert len(blocks) > 30
    for block in blocks:
        hashes = [line.removesuffix(" \\") for line in block[1:]]
        assert hashes, block[0]
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", each) for each in hashes), block[0]


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_address_and_no_option(lock: str) -> None:
    content = (TREE / "requirements" / lock).read_text("utf-8")
    assert "://" not in content
    assert " @ " not in content
    assert not re.search(r"^\s*-(?!-hash=)", content, re.MULTILINE)


def _ranges(requirements: list[str]) -> dict[str, list[tuple[str, tuple[int, ...]]]]:
    """Name → bounds of what ``pyproject.toml`` asks for."""
    ranges = {}
    for requirement in requirements:
        found = re.fullmatch(r"([a-zA-Z0-9-]+)(?:\[[a-z,]+\])?((?:(?:>=|<)[0-9.]+,?)*)", requirement)
        assert found, requirement
        parts = re.findall(r"(>=|<)([0-9.]+)", found[2])
        ranges[found[1].lower()] = [(sign, tuple(map(int, bound.split(".")))) for sign, bound in parts]
    return ranges


@pytest.mark.parametrize("lock", LOCKS)
def test_the_pins_are_within_what_the_project_asks_for(lock: str) -> None:
    settings = tomllib.loads((TREE / "pyproject.toml").read_text("utf-8"))
    wanted = settings["project"]["dependencies"]
    if lock == "dev.txt":
        wanted = [*wanted, *settings["dependency-groups"]["dev"]]
    pins = _pins(lock)
    for name, bounds in _ranges(wanted).items():
        for sign, bound in bounds:
            assert pins[name] >= bound if sign == ">=" else pins[name] < bound, (name, pins[name], sign, bound)


def test_what_runs_is_tested_with_the_same_pins() -> None:
    dev = _pins("dev.txt")
    assert {name: dev.get(name) for name in _pins("run.txt")} == _pins("run.txt")
