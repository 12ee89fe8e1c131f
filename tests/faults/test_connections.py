"""Connections that are cut in mid-frame, cut again and again, or swallow everything in silence."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from broker.consuming import PREFETCH
from broker.management import path
from broker.names import VHOST
from tests.faults.bed import FaultBed
from tests.faults.small_disk import SmallDisk
from tests.support.proxy import CuttingProxy

LOSSES = 50
BURST = 20
QUEUE = "inbox.MOF.routine"


@pytest.fixture
def proxy(bed: FaultBed) -> Iterator[CuttingProxy]:
    with CuttingProxy(bed.node.amqps_port) as proxy:
        yield proxy


def _start(bed: FaultBed, proxy: CuttingProxy, *behind: str) -> None:
    for code in ("MPW", "MOF"):
        if code in behind:
            bed.begin(code, broker_port=proxy.port, quick_to_reconnect=True)
        else:
            bed.begin(code)
    bed.wait_ready("MPW", "MOF")


CUTS: Sequence[int] = (1, 30, 700, 5_000, 40_000)
"""Bytes after which the connection is cut: within the first record, the first letter, in the midst of a batch."""


@pytest.mark.parametrize("behind", ["MPW", "MOF"], ids=["mid-publish", "mid-ack"])
def test_connection_cut_in_mid_frame_loses_and_doubles_nothing(bed: FaultBed, proxy: CuttingProxy, behind: str) -> None:
    _start(bed, proxy, behind)
    for number, sent in enumerate(CUTS):
        cuts = proxy.cuts
        proxy.cut_after(sent)
        bed.until(partial(_cut_by_a_burst, bed, proxy, cuts, f"cut-{number}"), "a cut")
    accepted = bed.count("MPW", "letters")
    assert accepted >= BURST * len(CUTS)
    assert bed.close_books().delivered == accepted


def _cut_by_a_burst(bed: FaultBed, proxy: CuttingProxy, cuts: int, name: str) -> bool:
    """Send some letters; whether the bytes after which the connection is cut have been passed by now."""
    with bed.load("MPW", ["MOF"], BURST, name=f"{name}-{bed.count('MPW', 'letters')}"):
        pass
    bed.settle()
    return proxy.cuts > cuts


def test_fifty_losses_with_a_full_window_dead_letter_no_healthy_letter(
    bed: FaultBed, proxy: CuttingProxy, tmp_path: Path
) -> None:
    bed.start("MPW")
    with bed.load("MPW", ["MOF"], PREFETCH, urgent_every=0):
        pass
    bed.wait_states("MPW", "sent", PREFETCH)
    with SmallDisk(tmp_path / "disk") as disk, bed.look("MOF") as looker:
        proxy.refuse()
        store = disk.store(bed, "MOF")
        bed.begin("MOF", broker_port=proxy.port, quick_to_reconnect=True, store=store).wait_answering()
        disk.fill()
        for _ in range(LOSSES):
            proxy.accept()
            bed.until(lambda: looker.depth(QUEUE) == 0, "everything unacknowledged")
            proxy.refuse()
            bed.until(lambda: looker.depth(QUEUE) == PREFETCH, "everything given back")
        assert _delivery_count(bed, QUEUE) >= LOSSES
        disk.free()
        proxy.accept()
        assert bed.close_books().delivered == PREFETCH
        assert bed.ready_messages("dead-letter") == 0
        assert bed.count("MOF", "quarantine") == 0


def _delivery_count(bed: FaultBed, queue: str) -> int:
    """How often the broker says that it gave out the first message of ``queue``."""
    with bed.management() as management:
        [message] = management.post(
            f"{path('queues', VHOST, queue)}/get",
            {"count": 1, "ackmode": "ack_requeue_true", "encoding": "base64", "truncate": 1},
        )
    return int(message["properties"]["headers"]["x-delivery-count"])


def test_silent_connection_is_given_up_and_everything_arrives(bed: FaultBed, proxy: CuttingProxy) -> None:
    """A peer that is gone without a word is noticed by its missing heartbeats, on both sides."""
    _start(bed, proxy, "MPW", "MOF")
    proxy.swallow()
    with bed.load("MPW", ["MOF"], BURST):
        pass
    for code in ("MPW", "MOF"):
        bed.wait_broker(code, "not_connected")
    proxy.flow()
    assert bed.close_books().delivered == BURST
