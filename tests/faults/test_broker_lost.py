"""The broker goes away, in good order or not, with its disk or without: every letter arrives, once."""

import pytest

from broker.management import path
from broker.names import VHOST
from tests.faults.bed import UNTIL_THE_END_SECONDS, FaultBed
from tests.support.adapters import send_until_answered

LOAD = 300


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_broker_that_ends_under_load_loses_and_doubles_nothing(bed: FaultBed, end: str) -> None:
    for code in ("MPW", "MOF"):
        bed.begin(code, quick_to_reconnect=True)
    bed.wait_ready("MPW", "MOF")
    with bed.load("MPW", ["MOF"], LOAD):
        bed.until(lambda: bed.count("MOF", "inbox") > LOAD / 20, "first letters there")
        getattr(bed.node, end)()
        assert bed.count("MOF", "inbox") < LOAD
        bed.node.start()
    assert bed.close_books().delivered == LOAD
    assert {lane for (lane,) in bed.adapter("MOF").rows("SELECT DISTINCT lane FROM inbox")} == {"urgent", "routine"}


def test_letters_and_receipts_lost_with_the_brokers_disk_arrive_until_the_end(bed: FaultBed) -> None:
    letters = 30
    bed.start("MPW")
    with bed.load("MPW", ["MOF", "SAB"], letters):
        pass
    bed.wait_states("MPW", "sent", 2 * letters)
    bed.stop("MPW")
    bed.start("MOF")  # it takes its letters, and its receipts wait at the broker
    bed.until(lambda: bed.count("MOF", "receipts_issued WHERE relay_state = 2") == letters, "receipts confirmed")
    bed.stop("MOF")

    bed.node.stop()
    bed.node.wipe()
    bed.node.start()
    bed.apply_topology()
    assert bed.ready_messages("inbox.SAB.routine") == bed.ready_messages("notices.MPW") == 0

    for code in ("MPW", "MOF", "SAB"):
        bed.begin(code, clock_offset=UNTIL_THE_END_SECONDS)
    bed.wait_ready("MPW", "MOF", "SAB")
    books = bed.close_books()
    assert books.delivered == 2 * letters
    attempts = {attempts for (attempts,) in bed.adapter("MPW").rows("SELECT attempts FROM transmissions")}
    assert attempts == {2}, "each was published once before the loss and once after it"
    copies = {copies for (copies,) in bed.adapter("MOF").rows("SELECT copies FROM inbox")}
    assert copies == {2}, "what had arrived before arrived again, and was known"


def test_queue_deleted_under_its_consumer_is_noticed_and_its_letters_arrive_until_the_end(bed: FaultBed) -> None:
    bed.begin("MPW")
    bed.start("MOF")
    bed.wait_ready("MPW")
    with bed.management() as management:
        management.delete(path("queues", VHOST, "inbox.MOF.routine"))
    bed.wait_broker("MOF", "not_connected")
    unroutable = send_until_answered(bed, "MPW", "no-mailbox", ["MOF"])
    bed.wait_states("MPW", "sent", 1)

    bed.apply_topology()
    bed.wait_ready("MOF")
    arrived = send_until_answered(bed, "MPW", "mailbox", ["MOF"])
    bed.wait_state("MPW", arrived, "MOF", "delivered")
    assert bed.adapter("MPW").state(unroutable, "MOF") == "sent"

    bed.stop("MPW")
    bed.start("MPW", clock_offset=UNTIL_THE_END_SECONDS)
    assert bed.close_books().delivered == 2
