"""A store put back from an old copy: it is noticed, and no number and no letter id is used twice.

What the copy calls open is published again and closed by the stored receipts. What came after the copy the store
cannot know: the books name it, until adapters compare their letters with the authority's record.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

from tests.faults.bed import FaultBed
from tests.support.adapters import send_until_answered

A_MINUTE_LATER = 120
"""Seconds: a recipient repeats its receipt at most once a minute."""


def _copy(bed: FaultBed, code: str, to: Path) -> None:
    """A backup of the one file; the mark stands beside it and stays."""
    assert not (bed.agency(code) / "store.db-wal").exists(), "a stopped store is one file"
    shutil.copy(bed.agency(code) / "store.db", to)


def _put_back(bed: FaultBed, code: str, copy: Path) -> None:
    shutil.copy(copy, bed.agency(code) / "store.db")


def _send(bed: FaultBed, name: str) -> list[str]:
    return [send_until_answered(bed, "MPW", f"{name}-{number}", ["MOF"]) for number in range(3)]


def _digests(bed: FaultBed, code: str, table: str, letters: Sequence[str]) -> set[str]:
    marks = ", ".join("?" * len(letters))
    rows = bed.adapter(code).rows(f"SELECT digest FROM {table} WHERE letter_id IN ({marks})", *letters)  # noqa: S608
    return {digest[:12] for (digest,) in rows}


def test_senders_restored_store_numbers_on_and_learns_its_outcomes_again(bed: FaultBed, tmp_path: Path) -> None:
    bed.start("MPW")
    open_at_the_copy = _send(bed, "open")
    bed.wait_states("MPW", "sent", 3)
    bed.stop("MPW")
    _copy(bed, "MPW", tmp_path / "copy.db")
    bed.begin("MPW")
    bed.begin("MOF")
    bed.wait_ready("MPW", "MOF")
    after_the_copy = _send(bed, "after")
    bed.close_books()
    lost = _digests(bed, "MPW", "letters", after_the_copy)

    _put_back(bed, "MPW", tmp_path / "copy.db")
    bed.begin("MPW")
    bed.begin("MOF", clock_offset=A_MINUTE_LATER)
    bed.wait_ready("MPW", "MOF")
    assert "epoch 2" in bed.adapter("MPW").check("store")["detail"]
    for letter in open_at_the_copy:
        bed.wait_state("MPW", letter, "MOF", "delivered")
    since = _send(bed, "since")
    for letter in since:
        bed.wait_state("MPW", letter, "MOF", "delivered")
    bed.stop()

    arrived = bed.adapter("MOF").rows("SELECT letter_id, outgoing_no, copies FROM inbox")
    assert {row[0] for row in arrived} == {*open_at_the_copy, *after_the_copy, *since}
    assert len({row[0] for row in arrived}) == len({row[1] for row in arrived}) == len(arrived) == 9
    assert bed.adapter("MPW").rows("SELECT DISTINCT epoch FROM letters ORDER BY epoch") == [(1,), (2,)]
    books = bed.books()
    assert (books.delivered, books.left_over, books.twice, books.unverified) == (6, 0, 0, 0)
    assert len(books.differences) == len(lost) == 3
    assert all("MPW does not know" in difference for difference in books.differences)


def test_recipients_restored_store_gives_no_incoming_number_twice(bed: FaultBed, tmp_path: Path) -> None:
    def register(letter: str) -> str:
        reply = bed.adapter("MOF").post(f"/v1/inbox/{letter}/registration", {"registered_by": "السجل العام"})
        assert reply.status in {200, 201}, reply
        return str(reply.body["incoming_no"])

    bed.begin("MPW")
    bed.start("MOF")
    bed.wait_ready("MPW")
    before_the_copy = _send(bed, "before")
    bed.wait_states("MPW", "delivered", 3)
    numbers = [register(before_the_copy[0])]
    bed.settle()
    bed.stop("MOF")
    _copy(bed, "MOF", tmp_path / "copy.db")
    bed.start("MOF")
    after_the_copy = _send(bed, "after")
    bed.wait_states("MPW", "delivered", 6)
    numbers.append(register(after_the_copy[0]))
    bed.settle()
    bed.stop("MOF")
    lost = _digests(bed, "MOF", "inbox", after_the_copy)

    _put_back(bed, "MOF", tmp_path / "copy.db")
    bed.start("MOF")
    assert "epoch 2" in bed.adapter("MOF").check("store")["detail"]
    since = _send(bed, "since")
    bed.wait_states("MPW", "delivered", 9)
    numbers.append(register(since[0]))
    assert len(set(numbers)) == 3
    bed.until(lambda: bed.count("MPW", "transmissions WHERE registered_no = ?", numbers[-1]) == 1, "registered")
    bed.stop()

    books = bed.books()
    assert (books.delivered, books.left_over, books.twice, books.unverified) == (9, 0, 0, 0)
    assert {digest for digest in lost if any(digest in difference for difference in books.differences)} == lost
    assert all(any(digest in difference for digest in lost) for difference in books.differences)
