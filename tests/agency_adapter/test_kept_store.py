"""Stores of former releases open, are brought up to date, and everything in them can be read and goes on."""

import shutil
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agency_adapter.numbers import Direction
from agency_adapter.registry import Registration
from agency_adapter.store.opening import HEAD
from tests.agency_adapter.data.make_store import AT
from tests.behaviour.bed import Bed, Party
from trust.token import TokenType, open_token

DATA = Path(__file__).parent / "data"
KEPT = sorted(DATA.glob("store-*.db"))


@pytest.fixture(params=KEPT, ids=[file.stem for file in KEPT])
async def mpw(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Party]:
    """MPW's adapter on a copy of a kept store, an hour after it was made."""
    bed = Bed(tmp_path, at=AT)
    await bed.publish_directory()
    bed.clock.offset += 3600
    folder = tmp_path / "agencies" / "MPW"
    shutil.copy(request.param, folder / "store.db")
    shutil.copy(request.param.with_suffix(".mark"), folder / "store.mark")
    party = bed.open("MPW")
    yield party
    await bed.close()


def test_this_releases_own_schema_has_a_kept_store() -> None:
    assert DATA / f"store-{HEAD}.db" in KEPT
    assert all(file.stat().st_size < 200_000 for file in KEPT)


async def test_it_is_not_taken_for_a_restored_copy(mpw: Party) -> None:
    assert (mpw.adapter.store.restored, mpw.adapter.store.mark.epoch) == (False, 1)


async def test_every_letter_in_it_is_read(mpw: Party) -> None:
    correspondence = mpw.adapter.correspondence
    outgoing, incoming = correspondence.outbox().items, correspondence.inbox().items
    assert Counter(each.state for letter in outgoing for each in letter.transmissions) == {
        "accepted": 2, "sent": 1, "held": 1, "delivered": 1, "not_delivered": 1, "refused": 1,
    }  # fmt: skip
    assert Counter(letter.state for letter in incoming) == {
        "received": 1, "registered": 1, "returned": 1, "awaiting_attachments": 1,
    }  # fmt: skip
    for letter in (*outgoing, *incoming):
        assert correspondence.letter(letter.letter_id) == letter
        token = open_token(correspondence.letter_jws(letter.letter_id), TokenType.LETTER)
        assert (token.digest, token.claims()["content"]["subject"]) == (letter.digest, letter.subject)
    delivered = next(letter for letter in outgoing if letter.transmissions[0].state == "delivered")
    assert delivered.transmissions[0].registered_no == "MOF/IN/2026/000001"
    events = [entry.event for entry in correspondence.timeline(delivered.letter_id)]
    assert events == ["stored", "sent", "delivered", "registered"]
    returned = next(letter for letter in incoming if letter.state == "returned")
    assert (returned.return_reason, returned.note) == ("not_competent", "للبلدية")
    [entry] = correspondence.quarantine().items
    assert (entry.publisher, entry.reason) == ("SAB", "token_malformed")


async def test_its_numbers_and_keys_go_on(mpw: Party) -> None:
    correspondence = mpw.adapter.correspondence
    used = {letter.outgoing_no for letter in correspondence.outbox().items}
    again = await mpw.send("MOF", "SAB", key="file-2")
    assert (again.repeated, again.outgoing_no in used) == (True, True), "asked again of the later release"
    assert (await mpw.send("MOF")).outgoing_no not in used
    received = next(letter for letter in correspondence.inbox().items if letter.state == "received")
    registered = await correspondence.register(Registration(received.letter_id, "السجل العام"))
    assert registered.incoming_no == "MPW/IN/2026/000002"
    assert correspondence.number_gaps(Direction.INCOMING) == []


async def test_what_waits_in_it_is_published_and_what_is_open_repeated(mpw: Party) -> None:
    released = await mpw.adapter.writer.submit(mpw.adapter._recover, None)
    assert released == 0
    assert [letter.routing_key for letter in await mpw.letters_out()] == ["MOF.routine", "SAB.routine"]
    assert len(await mpw.dead_letters_out()) == 1
    assert await mpw.adapter.writer.submit(mpw.adapter._sweep_once, None) == 2, "the sent one and the held one"
