"""The disk of an adapter's store is full: nothing is accepted, nothing that was accepted is lost."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agency_adapter.mark import Mark
from schemas.errors import ErrorCode, Refused
from tests.coverage_of_codes import saw_code
from tests.faults.bed import FaultBed
from tests.faults.small_disk import MIB, SmallDisk
from tests.support.adapters import send_until_answered

LETTERS = 60


@pytest.fixture
def disk(bed: FaultBed, tmp_path: Path) -> Iterator[SmallDisk]:
    """The disk of MPW's store; MPW and MOF run."""
    with SmallDisk(tmp_path / "disk") as disk:
        disk.store(bed, "MPW")
        bed.begin("MPW")  # which finds its store by a link
        bed.start("MOF")
        bed.wait_ready("MPW")
        yield disk
        for adapter in bed.adapters.values():
            adapter.kill()


def _refuses_letters(bed: FaultBed) -> None:
    for key in ("refused-1", "refused-2"):
        reply = bed.adapter("MPW").send(key, ["MOF"])
        assert (reply.status, reply.body["code"]) == (503, "storage_full")
    saw_code("storage_full")
    store = bed.adapter("MPW").check("store")
    assert (store["status"], store["code"]) == (503, "storage_full")


def test_full_disk_stops_acceptance_and_loses_nothing_that_was_accepted(bed: FaultBed, disk: SmallDisk) -> None:
    with bed.load("MPW", ["MOF"], LETTERS):
        pass
    disk.fill()  # while receipts are still on their way
    _refuses_letters(bed)
    arriving = send_until_answered(bed, "MOF", "from-outside", ["MPW"])
    bed.wait_states("MOF", "sent", 1)
    bed.until(lambda: "batch_waits" in bed.adapter("MPW").log.read_text("utf-8"), "the letter is waiting")
    assert bed.count("MPW", "inbox") == 0
    assert bed.adapter("MOF").state(arriving, "MPW") == "sent"

    disk.free()
    bed.wait_ready("MPW")
    for key in ("refused-1", "refused-2"):
        send_until_answered(bed, "MPW", key, ["MOF"])
    books = bed.close_books()
    assert (books.accepted, books.delivered) == (LETTERS + 3, LETTERS + 3)


def test_the_last_room_on_the_disk_is_kept_for_receipts(bed: FaultBed, disk: SmallDisk) -> None:
    disk.fill(left=32 * MIB)
    _refuses_letters(bed)
    arriving = send_until_answered(bed, "MOF", "from-outside", ["MPW"])
    bed.wait_state("MOF", arriving, "MPW", "delivered")
    assert bed.close_books().delivered == 1


def test_adapter_stops_in_good_order_on_a_full_disk_and_goes_on_from_there(bed: FaultBed, disk: SmallDisk) -> None:
    with bed.load("MPW", ["MOF"], LETTERS):
        pass
    disk.fill()
    bed.stop("MPW")
    disk.free()
    bed.start("MPW", store=disk.place / "store.db")
    assert bed.close_books().delivered == LETTERS


def test_numbers_are_not_reserved_by_a_mark_that_never_reached_the_disk(tmp_path: Path) -> None:
    with SmallDisk(tmp_path / "disk") as disk:
        mark = Mark(disk.place / "store.mark", "a store")
        mark.save(flush=True)
        disk.fill()
        with pytest.raises(Refused) as refusal:
            mark.reserve("outgoing", 2026, 1)
        assert refusal.value.code is ErrorCode.STORAGE_FULL
        assert mark.reserved_up_to("outgoing", 2026) == 0

        disk.free()
        mark.reserve("outgoing", 2026, 1)
        on_disk = Mark.read(mark.path, "a store")
        assert on_disk is not None
        assert on_disk.reserved_up_to("outgoing", 2026) > 1
