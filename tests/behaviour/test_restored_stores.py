"""A store put back from an old copy: it is noticed, and what was given out once is not given out again."""

import shutil
from pathlib import Path

from agency_adapter.numbers import Direction
from agency_adapter.registry import Registration, Return
from agency_adapter.store import tables
from schemas.reasons import ReturnReason
from tests.behaviour.bed import Bed, Party, exchange, letters_for


async def copied(party: Party) -> Path:
    """A copy of the store alone, made while the adapter was stopped; the mark stays beside the store."""
    await party.close()
    store = party.bed.folder / "agencies" / party.code / "store.db"
    return Path(shutil.copy(store, store.with_name("copy.db")))


async def put_back(bed: Bed, party: Party, copy: Path) -> Party:
    """End as a power cut would, a second after the last commit; then restore the copy and start."""
    party.adapter._count_progress()
    party.adapter.store.mark.save(flush=False)
    await party.crash()
    store = copy.with_name("store.db")
    for rest in ("store.db-wal", "store.db-shm"):
        store.with_name(rest).unlink(missing_ok=True)
    shutil.copy(copy, store)
    return bed.open(party.code)


def registration(letter_id: str) -> Registration:
    return Registration(letter_id, "السجل العام")


async def test_an_ordinary_start_is_not_taken_for_a_restored_store(bed: Bed, mpw: Party, mof: Party) -> None:
    await mpw.send("MOF")
    await exchange(mpw, mof)
    await mof.crash()
    await mpw.close()
    for code in ("MPW", "MOF"):
        store = bed.open(code).adapter.store
        assert (store.restored, store.mark.epoch) == (False, 1)


async def test_a_restored_sender_numbers_on_in_a_new_epoch_and_publishes_again_what_is_open(
    bed: Bed, mpw: Party, mof: Party
) -> None:
    before = [await mpw.send("MOF") for _ in range(3)]
    await mpw.letters_out()  # confirmed, and lost with the broker
    copy = await copied(mpw)
    mpw = bed.open("MPW")
    lost = [await mpw.send("MOF") for _ in range(3)]
    await mof.receive(*await letters_for("MOF", mpw))

    mpw = await put_back(bed, mpw, copy)
    assert mpw.adapter.store.restored
    assert "epoch 2" in (mpw.adapter.readiness().checks[0].detail or "")
    after = [await mpw.send("MOF") for _ in range(3)]
    everything = [*before, *lost, *after]
    assert len({letter.outgoing_no for letter in everything}) == len({letter.letter_id for letter in everything}) == 9
    rows = mpw.rows(tables.letters)
    assert [(row.letter_id, row.epoch) for row in rows] == [
        *((letter.letter_id, 1) for letter in before),
        *((letter.letter_id, 2) for letter in after),
    ]
    [gap] = mpw.adapter.correspondence.number_gaps(Direction.OUTGOING)
    assert (gap.first, gap.count) == (lost[0].outgoing_no, 256 + 1 - 3)
    # At once, not when the wait of the copy would be over.
    await exchange(mpw, mof)
    assert set(mpw.states().values()) == {"delivered"}
    assert len(mof.inbox()) == 9


async def test_receipts_for_letters_that_the_copy_lacks_are_kept_in_the_quarantine(
    bed: Bed, mpw: Party, mof: Party
) -> None:
    copy = await copied(mpw)
    mpw = bed.open("MPW")
    await mpw.send("MOF")
    await mof.receive(*await letters_for("MOF", mpw))
    mpw = await put_back(bed, mpw, copy)
    await mpw.receive(*await mof.receipts_out())
    assert [row.reason for row in mpw.quarantine()] == ["receipt_unmatched"]


async def test_a_restored_recipient_gives_no_incoming_number_twice_though_no_letter_has_arrived_since(
    bed: Bed, mpw: Party, mof: Party
) -> None:
    letters = [await mpw.send("MOF") for _ in range(3)]
    await mof.receive(*await letters_for("MOF", mpw))
    first = await mof.adapter.correspondence.register(registration(letters[0].letter_id))
    copy = await copied(mof)
    mof = bed.open("MOF")
    lost = await mof.adapter.correspondence.register(registration(letters[1].letter_id))

    mof = await put_back(bed, mof, copy)
    assert mof.adapter.store.restored
    again = [await mof.adapter.correspondence.register(registration(letters[at].letter_id)) for at in (1, 2)]
    assert len({registered.incoming_no for registered in (first, lost, *again)}) == 4


async def test_a_return_that_the_copy_lacks_shows_it_too(bed: Bed, mpw: Party, mof: Party) -> None:
    letter = await mpw.send("MOF")
    await mof.receive(*await letters_for("MOF", mpw))
    copy = await copied(mof)
    mof = bed.open("MOF")
    await mof.adapter.correspondence.return_(Return(letter.letter_id, "السجل العام", ReturnReason.DUPLICATE))
    assert (await put_back(bed, mof, copy)).adapter.store.restored


async def test_the_start_after_that_of_a_restored_store_is_an_ordinary_one(bed: Bed, mpw: Party) -> None:
    copy = await copied(mpw)
    mpw = bed.open("MPW")
    await mpw.send("MOF")
    mpw = await put_back(bed, mpw, copy)
    await mpw.close()
    store = bed.open("MPW").adapter.store
    assert (store.restored, store.mark.epoch) == (False, 2)


async def test_each_restoration_is_an_epoch_of_its_own(bed: Bed, mpw: Party) -> None:
    copy = await copied(mpw)
    numbers = []
    mpw = bed.open("MPW")
    for _ in range(2):
        numbers.append((await mpw.send("MOF")).outgoing_no)
        mpw = await put_back(bed, mpw, copy)
    numbers.append((await mpw.send("MOF")).outgoing_no)
    assert mpw.adapter.store.mark.epoch == 3
    assert len(set(numbers)) == 3
