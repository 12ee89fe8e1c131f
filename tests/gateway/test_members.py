"""The list of members and the directories signed from it: versions count up, and none is ever signed twice."""

import json
import resource
import stat
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.bootstrap import hand_out_directory
from gateway.members import Members, authority_folder, write_whole
from schemas.errors import ErrorCode, Refused
from schemas.identifiers import AUTHORITY
from tests.gateway.founding import NOW, SIGN, TREE, opened_directory, touches_when_killed_at
from tests.gateway.topology_bed import Terminal
from tests.support.adapters import eventually
from trust.token import TokenType, open_token

LATER = NOW + timedelta(minutes=1)


@pytest.fixture
def members(authority: Path) -> Iterator[Members]:
    """The list of an authority, held."""
    with Members.held(authority) as held:
        yield held


def _listed(folder: Path) -> dict[str, object]:
    content: dict[str, object] = json.loads((authority_folder(folder) / "members.json").read_text("utf-8"))
    return content


def _everything(folder: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_the_list_names_the_authority_and_every_agency(members: Members) -> None:
    assert (members.version, members.codes) == (1, [AUTHORITY, "MPW"])


def test_each_signing_counts_one_version_up(members: Members) -> None:
    for version in (2, 3, 4):
        file = members.sign_next(LATER)
        assert file == authority_folder(members.folder) / "directory.jws"
        assert opened_directory(members.folder).version == version
        assert _listed(members.folder)["version"] == version


def test_a_directory_is_valid_for_30_days_from_its_signing(members: Members) -> None:
    members.sign_next(LATER)
    directory = opened_directory(members.folder)
    assert directory.issued_at == LATER.replace(microsecond=0)
    assert directory.valid_until - directory.issued_at == timedelta(days=30)


def test_signing_changes_no_member(members: Members) -> None:
    before = opened_directory(members.folder).payload.agencies
    members.sign_next(LATER)
    assert opened_directory(members.folder).payload.agencies == before


# Whatever happens between the two writes


def _signed_so_far(folder: Path) -> dict[int, set[str]]:
    """Version → digests of every directory that was ever written, drafts that a killed process left among them."""
    found: dict[int, set[str]] = {}
    for file in authority_folder(folder).glob("*directory.jws*"):
        if raw := file.read_bytes():
            token = open_token(raw, TokenType.DIRECTORY)
            version = token.claims()["version"]
            assert isinstance(version, int)
            found.setdefault(version, set()).add(token.digest)
    return found


def test_killed_at_any_moment_a_signing_leaves_a_list_from_which_no_version_is_signed_twice(authority: Path) -> None:
    signed: dict[int, set[str]] = {}
    killed = 0
    while touches_when_killed_at(SIGN, authority.parent, killed + 1) is None:
        killed += 1
        for version, digests in _signed_so_far(authority).items():
            signed.setdefault(version, set()).update(digests)
        # The directory that stands there is whole, and no newer than the list.
        listed = _listed(authority)["version"]
        assert isinstance(listed, int)
        assert opened_directory(authority).version <= listed
    for version, digests in _signed_so_far(authority).items():
        signed.setdefault(version, set()).update(digests)
    assert killed >= 8
    assert len(signed) >= 4
    assert all(len(digests) == 1 for digests in signed.values()), signed


def test_two_processes_never_sign_the_same_version(authority: Path) -> None:
    with Members.held(authority) as members:
        other = subprocess.Popen(
            [sys.executable, "-m", "deploy.command", "authority", "directory", authority, "--json"],
            stdout=subprocess.PIPE,
            cwd=TREE,
        )
        eventually(lambda: other.poll() is not None or _waits_for_a_lock(other.pid), "the other process at the lock")
        assert other.poll() is None
        members.sign_next(LATER)
        assert members.version == 2
    printed, _ = other.communicate(timeout=60)
    assert json.loads(printed)["version"] == 3
    assert opened_directory(authority).version == 3


def _waits_for_a_lock(pid: int) -> bool:
    """The kernel lists those who wait with an arrow."""
    lines = Path("/proc/locks").read_text("ascii").splitlines()
    return any("->" in line and str(pid) in line.split() for line in lines)


# What cannot be read or written


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff",
        b"[]",
        b"7",
        b'{"version": 1}',
        b'{"agencies": []}',
        b'{"version": "1", "agencies": []}',
        b'{"version": 1.5, "agencies": []}',
        b'{"version": true, "agencies": []}',
        b'{"version": -1, "agencies": []}',
        b'{"version": 1, "agencies": {}}',
        b'{"version": 1, "agencies": "MPW"}',
        b'{"version": 1, "agencies": ["MPW"]}',
        b'{"version": 1, "agencies": [{}]}',
    ],
)
def test_a_list_that_cannot_be_read_is_refused_and_left_as_it_is(
    content: bytes, authority: Path, terminal: Terminal
) -> None:
    file = authority_folder(authority) / "members.json"
    file.write_bytes(content)
    before = _everything(authority)
    with pytest.raises(Refused) as refused:
        Members.read(authority)
    assert refused.value.code is ErrorCode.SETTINGS_INVALID
    assert str(file) in refused.value.text("en")
    assert terminal("authority", "directory", authority).code == 1
    assert _everything(authority) == before


def test_where_no_authority_is_nothing_is_held(tmp_path: Path) -> None:
    with pytest.raises(Refused) as refused, Members.held(tmp_path):
        raise AssertionError("never held")
    assert refused.value.code is ErrorCode.SETTINGS_INVALID
    assert list(tmp_path.iterdir()) == []


def test_a_list_that_makes_no_directory_is_refused_and_uses_up_no_version(authority: Path) -> None:
    file = authority_folder(authority) / "members.json"
    content = _listed(authority)
    assert isinstance(content["agencies"], list)
    content["agencies"][1]["code"] = "not a code"
    file.write_text(json.dumps(content), "utf-8")
    before = _everything(authority)
    with Members.held(authority) as members, pytest.raises(Refused) as refused:
        members.sign_next(LATER)
    assert refused.value.code is ErrorCode.SCHEMA_INVALID
    assert refused.value.pointer == "/agencies/1/code"
    assert _everything(authority) == before


def test_without_the_directory_key_nothing_is_signed_and_no_version_is_used_up(authority: Path) -> None:
    (authority_folder(authority) / "keys" / "directory.key").chmod(0o644)
    before = _everything(authority)
    with Members.held(authority) as members, pytest.raises(Refused) as refused:
        members.sign_next(LATER)
    assert refused.value.code is ErrorCode.KEY_UNREADABLE
    assert _everything(authority) == before


# Handing out


def test_handing_out_replaces_each_copy_in_one_step(authority: Path, members: Members) -> None:
    copy = authority / "agencies" / "MPW" / "directory.jws"
    old = copy.read_bytes()
    with copy.open("rb") as reader:
        members.sign_next(LATER)
        assert hand_out_directory(authority) == ["MPW"]
        # Who reads the old one reads on in it: it was replaced, not written over.
        assert reader.read() == old
    assert copy.read_bytes() == (authority_folder(authority) / "directory.jws").read_bytes() != old
    assert stat.S_IMODE(copy.stat().st_mode) == 0o644
    assert [file.name for file in authority.rglob(".*")] == []


def test_where_no_agencies_live_beside_the_authority_none_gets_it(authority: Path) -> None:
    (authority / "agencies").rename(authority / "elsewhere")
    assert hand_out_directory(authority) == []


def test_a_file_that_cannot_be_written_whole_stays_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "file"
    write_whole(file, b"old", mode=0o600)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            write_whole(file, b"new" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("file", b"old")]


# The command


def test_the_command_signs_and_hands_out_the_next_version(authority: Path, terminal: Terminal) -> None:
    ran = terminal("authority", "directory", authority, "--json")
    assert (ran.code, ran.err, ran.document) == (0, "", {"version": 2, "agencies": ["MPW"]})
    ran = terminal("authority", "directory", authority)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines() == ["وُقّع الدليل، الإصدار 3.", "Directory 3 is signed."]
    handed = authority / "agencies" / "MPW" / "directory.jws"
    assert handed.read_bytes() == (authority_folder(authority) / "directory.jws").read_bytes()
    assert opened_directory(authority).version == 3


def test_the_command_says_in_both_languages_that_there_is_no_authority(tmp_path: Path, terminal: Terminal) -> None:
    ran = terminal("authority", "directory", tmp_path)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.count("[settings_invalid]") == 2
