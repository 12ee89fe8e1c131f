"""The directory's file changes under a running adapter, and between two of its lives."""

import contextlib
import os
import sqlite3
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from agency_adapter import directory_cache
from agency_adapter.readiness import Check
from schemas.directory import KeyPurpose
from schemas.errors import ErrorCode, Refused
from tests.behaviour.bed import Bed, Party, exchange
from trust.directory import Directory


def file_of(party: Party) -> Path:
    return party.bed.folder / "agencies" / party.code / "directory.jws"


def replace_file(party: Party, raw: bytes) -> None:
    draft = file_of(party).with_suffix(".draft")
    draft.write_bytes(raw)
    draft.replace(file_of(party))


def directory_check(party: Party) -> Check:
    [check] = [check for check in party.adapter.readiness().checks if check.name == "directory"]
    return check


async def sweep_directory(party: Party) -> None:
    """What the clockwork does each second with the directory."""
    await party.adapter._refresh_directory()


async def restarted(bed: Bed, party: Party) -> Party:
    await party.close()
    again = bed.open(party.code)
    await sweep_directory(again)
    return again


async def test_a_newer_directory_is_taken_while_the_adapter_runs(bed: Bed, mpw: Party) -> None:
    bed.authority.add_key("MOF", KeyPurpose.SEAL, name="second")
    await bed.publish_directory()
    current = mpw.adapter.directory.current
    assert (current.version, len(current.keys_of("MOF", "seal"))) == (2, 2)
    check = directory_check(mpw)
    assert (check.ok, check.detail) == (True, "version 2, current")


async def test_an_older_directory_is_refused_shown_and_leaves_the_newer_in_force(bed: Bed, mpw: Party) -> None:
    old = file_of(mpw).read_bytes()
    await bed.publish_directory()
    replace_file(mpw, old)
    assert not mpw.adapter.directory.refresh()
    assert mpw.adapter.directory.current.version == 2
    check = directory_check(mpw)
    assert (check.ok, check.code) == (False, ErrorCode.DIRECTORY_ROLLED_BACK)


async def test_an_older_directory_is_refused_across_a_restart(bed: Bed, mpw: Party) -> None:
    old = file_of(mpw).read_bytes()
    await bed.publish_directory()
    mpw = await restarted(bed, mpw)
    await bed.publish_directory()
    await sweep_directory(mpw)
    await mpw.close()
    newest = file_of(mpw).read_bytes()
    replace_file(mpw, old)
    with pytest.raises(Refused) as refused:
        bed.open("MPW")
    assert refused.value.code is ErrorCode.DIRECTORY_ROLLED_BACK
    replace_file(mpw, newest)
    assert bed.open("MPW").adapter.directory.current.version == 3


async def another_of_the_same_version(bed: Bed) -> bytes:
    """Signed by the authority, too, with the number of the one in force."""
    bed.authority.change_agency("MOF", status="suspended")
    return await bed.authority.sign()


async def test_another_directory_of_the_version_in_force_is_refused_and_shown(bed: Bed, mpw: Party) -> None:
    genuine = file_of(mpw).read_bytes()
    replace_file(mpw, await another_of_the_same_version(bed))
    await sweep_directory(mpw)
    check = directory_check(mpw)
    assert (check.ok, check.code) == (False, ErrorCode.DIRECTORY_FORKED)
    assert await mpw.send("MOF"), "by the first one MOF is active"
    replace_file(mpw, genuine)
    await sweep_directory(mpw)
    assert directory_check(mpw).ok


async def test_another_directory_of_the_version_in_force_is_refused_across_a_restart(bed: Bed, mpw: Party) -> None:
    await bed.publish_directory()
    await sweep_directory(mpw)
    genuine = file_of(mpw).read_bytes()
    await mpw.close()
    replace_file(mpw, await another_of_the_same_version(bed))
    with pytest.raises(Refused) as refused:
        bed.open("MPW")
    assert (refused.value.code, refused.value.params) == (ErrorCode.DIRECTORY_FORKED, {"version": 2})
    replace_file(mpw, genuine)
    assert bed.open("MPW").adapter.directory.current.version == 2


async def test_a_store_that_knows_the_number_alone_takes_the_directory_and_remembers_it(bed: Bed, mpw: Party) -> None:
    await sweep_directory(mpw)
    await mpw.close()
    store = mpw.adapter.settings.path(mpw.adapter.settings.store)
    with contextlib.closing(sqlite3.connect(store)) as earlier_release, earlier_release:
        assert earlier_release.execute("DELETE FROM meta WHERE name = 'directory_digest'").rowcount == 1
    mpw = await restarted(bed, bed.open("MPW"))
    await mpw.close()
    replace_file(mpw, await another_of_the_same_version(bed))
    with pytest.raises(Refused) as refused:
        bed.open("MPW")
    assert refused.value.code is ErrorCode.DIRECTORY_FORKED


async def test_a_version_that_could_not_be_noted_is_noted_with_the_next_sweep(bed: Bed, mpw: Party) -> None:
    old = file_of(mpw).read_bytes()
    store = mpw.adapter.settings.path(mpw.adapter.settings.store)
    await bed.publish_directory()
    with contextlib.closing(sqlite3.connect(store)) as holding:
        holding.execute("BEGIN IMMEDIATE")
        with pytest.raises(Refused):
            await sweep_directory(mpw)
        holding.rollback()
    await sweep_directory(mpw)
    await mpw.close()
    replace_file(mpw, old)
    with pytest.raises(Refused) as refused:
        bed.open("MPW")
    assert refused.value.code is ErrorCode.DIRECTORY_ROLLED_BACK


def damage(party: Party) -> None:
    replace_file(party, file_of(party).read_bytes()[:-10] + b"A" * 10)


def empty(party: Party) -> None:
    replace_file(party, b"")


def remove(party: Party) -> None:
    file_of(party).rename(file_of(party).with_suffix(".away"))


def make_a_folder_of_it(party: Party) -> None:
    remove(party)
    file_of(party).mkdir()


def let_it_overgrow(party: Party) -> None:
    replace_file(party, b"e")
    os.truncate(file_of(party), 2**42)  # four tebibytes of nothing: nobody who reads them all comes back


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (let_it_overgrow, ErrorCode.TOKEN_TOO_LARGE),
        (damage, ErrorCode.SIGNATURE_INVALID),
        (empty, ErrorCode.TOKEN_MALFORMED),
        (remove, ErrorCode.DIRECTORY_UNREADABLE),
        (make_a_folder_of_it, ErrorCode.DIRECTORY_UNREADABLE),
    ],
)
async def test_a_directory_that_cannot_be_used_leaves_the_old_one_in_force_and_shows(
    bed: Bed, mpw: Party, mof: Party, spoil: Callable[[Party], None], code: ErrorCode
) -> None:
    spoil(mpw)
    assert not mpw.adapter.directory.refresh()
    check = directory_check(mpw)
    assert (check.ok, check.code) == (False, code)
    await mpw.send("MOF")
    await exchange(mpw, mof)
    assert set(mpw.states().values()) == {"delivered"}
    if file_of(mpw).is_dir():
        file_of(mpw).rmdir()
    await bed.publish_directory()
    assert directory_check(mpw).ok


async def test_a_file_that_comes_back_as_it_was_is_no_problem_any_more(mpw: Party) -> None:
    remove(mpw)
    mpw.adapter.directory.refresh()
    assert not directory_check(mpw).ok
    file_of(mpw).with_suffix(".away").rename(file_of(mpw))
    assert not mpw.adapter.directory.refresh(), "the same version"
    assert directory_check(mpw).ok


async def test_a_refused_file_is_opened_again_when_it_changes_or_after_a_minute(
    mpw: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[int] = []
    real = Directory.open

    def count(raw: bytes, *arguments: object, **named: object) -> Directory:
        opened.append(len(raw))
        return real(raw, *arguments, **named)  # type: ignore[arg-type] # passed on as they came

    monkeypatch.setattr(Directory, "open", count)
    damage(mpw)
    for _ in range(5):
        mpw.adapter.directory.refresh()
    assert len(opened) == 1
    damage(mpw)
    mpw.adapter.directory.refresh()
    assert len(opened) == 2
    monkeypatch.setattr(directory_cache, "SECONDS_BETWEEN_TRIES", 0)
    mpw.adapter.directory.refresh()
    assert len(opened) == 3


async def test_a_directory_that_runs_out_stops_acceptance_and_says_so(bed: Bed, mpw: Party) -> None:
    bed.clock.offset += timedelta(days=29).total_seconds()
    assert directory_check(mpw).detail == "version 1, ageing"
    await mpw.send("MOF")
    bed.clock.offset += timedelta(days=16).total_seconds()
    check = directory_check(mpw)
    assert (check.ok, check.code) == (False, ErrorCode.DIRECTORY_EXPIRED)
    with pytest.raises(Refused) as refused:
        await mpw.send("MOF")
    assert (refused.value.code, refused.value.status) == (ErrorCode.DIRECTORY_EXPIRED, 503)
    await bed.publish_directory()
    await mpw.send("MOF")
    assert len(mpw.states()) == 2


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("suspended", ErrorCode.RECIPIENT_SUSPENDED),
        ("revoked", ErrorCode.RECIPIENT_CLOSED),
        ("merged", ErrorCode.RECIPIENT_CLOSED),
    ],
)
async def test_what_no_recipient_would_get_is_refused_at_once(
    bed: Bed, mpw: Party, status: str, code: ErrorCode
) -> None:
    successor = {"successor": "SAB"} if status == "merged" else {}
    bed.authority.change_agency("MOF", status=status, **successor)
    await bed.publish_directory()
    with pytest.raises(Refused) as refused:
        await mpw.send("SAB", "MOF")
    assert (refused.value.code, refused.value.pointer) == (code, "/recipients/1/agency")
    assert mpw.states() == {}
    with pytest.raises(Refused) as refused:
        await mpw.send("NOBODY")
    assert (refused.value.code, refused.value.pointer) == (ErrorCode.RECIPIENT_UNKNOWN, "/recipients/0/agency")


async def test_a_type_that_a_recipient_does_not_take_is_refused_at_once(bed: Bed, mpw: Party) -> None:
    bed.authority.change_agency("MOF", accepted_types=["circular/1"])
    await bed.publish_directory()
    with pytest.raises(Refused) as refused:
        await mpw.send("MOF")
    assert (refused.value.code, refused.value.pointer) == (ErrorCode.TYPE_NOT_ACCEPTED, "/type")
    assert await mpw.send("SAB")


async def test_a_type_that_the_sender_may_not_send_is_refused_at_once(bed: Bed, mpw: Party) -> None:
    bed.authority.change_agency("MPW", may_send=["reply/1"])
    await bed.publish_directory()
    with pytest.raises(Refused) as refused:
        await mpw.send("MOF")
    assert refused.value.code is ErrorCode.SENDER_NOT_ALLOWED


async def test_an_adapter_whose_seal_is_not_in_the_directory_is_not_ready(bed: Bed, mpw: Party) -> None:
    kid = bed.authority.file_key("MPW", KeyPurpose.SEAL).kid
    bed.authority.keys["MPW"] = [entry for entry in bed.authority.keys["MPW"] if entry["kid"] != kid]
    await bed.publish_directory()
    [check] = [check for check in mpw.adapter.readiness().checks if check.name == "keys"]
    assert (check.ok, check.code) == (False, ErrorCode.KEY_UNKNOWN)


async def test_expired_certificates_make_it_not_ready(bed: Bed, mpw: Party) -> None:
    bed.clock.offset += timedelta(days=366).total_seconds()
    [check] = [check for check in mpw.adapter.readiness().checks if check.name == "keys"]
    assert (check.ok, check.code, check.detail) == (False, ErrorCode.KEY_EXPIRED, "transport, seal")
