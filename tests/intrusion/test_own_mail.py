"""Its own queues are an agency's to read, and so to empty. What it destroys there comes again *until the end*."""

from collections.abc import Iterator

import pytest

from tests.faults.bed import UNTIL_THE_END_SECONDS
from tests.support.adapters import Bed, eventually
from tests.support.raw_client import RawClient

QUEUE = "inbox.SAB.routine"


@pytest.fixture(autouse=True)
def clean(bed: Bed) -> Iterator[None]:
    yield
    bed.reset()


def test_letters_that_an_agency_took_or_purged_from_its_own_queue_arrive_until_the_end(
    bed: Bed, sab: RawClient
) -> None:
    mpw = bed.start("MPW")
    taken, purged = (mpw.send(key, ["SAB"]).body["id"] for key in ("taken", "purged"))
    eventually(lambda: sab.depth(QUEUE) == 2, bed.tails)
    assert sab.get_body(QUEUE) is not None
    assert sab.purge(QUEUE) == "PurgeOk"
    assert sab.get(QUEUE) == "GetEmpty"
    bed.start("SAB")
    assert {mpw.state(letter, "SAB") for letter in (taken, purged)} == {"sent"}
    bed.stop("MPW")
    mpw = bed.start("MPW", clock_offset=UNTIL_THE_END_SECONDS)
    for letter in (taken, purged):
        eventually(lambda letter=letter: mpw.state(letter, "SAB") == "delivered", bed.tails)
    books = bed.close_books()
    assert (books.accepted, books.delivered, books.left_over, books.twice) == (2, 2, 0, 0)
