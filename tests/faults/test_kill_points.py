"""The adapter killed by SIGKILL at each point of its commit order: nothing is lost, nothing doubled.

Each case: some letters go MPW → MOF; one of the two adapters is armed and kills itself at the first, or at the third,
passage of the point; it is started again, unarmed; the books must balance. At the instant of its death the store must
hold what the point's name promises and no more: otherwise the point stands in the wrong place.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from broker.kill_points import KillPoint
from tests.authority.deaths import DEATHS_OF_THE_AUTHORITY
from tests.faults.bed import FaultBed
from tests.support.adapters import NoAnswerError, eventually, send_until_answered

BURST = 6
SIGKILLED = -9


@dataclass(frozen=True)
class Death:
    """Who dies at a point, and what its store holds then.

    Attributes:
        agency: whose adapter is armed: MPW sends, MOF receives.
        holds: of these rows it has more than before, at the first passage.
        lacks: of these it has none more.
    """

    agency: str
    holds: str
    lacks: str


NOTHING = "(SELECT 1)"
CLAIMED = "relay_state = 1"
MARKED = "relay_state >= 2"

DEATHS = {
    "letter_committed": Death("MPW", "letters", f"transmissions WHERE {MARKED}"),
    "published_unconfirmed": Death("MPW", f"transmissions WHERE {CLAIMED}", "transmissions WHERE sent_at IS NOT NULL"),
    "confirmed_unmarked": Death("MPW", f"transmissions WHERE {CLAIMED}", "transmissions WHERE sent_at IS NOT NULL"),
    "received_unverified": Death("MOF", NOTHING, "inbox"),
    "verified_uncommitted": Death("MOF", NOTHING, "inbox"),
    "committed_unacked": Death("MOF", "inbox", f"receipts_issued WHERE {MARKED}"),
    "committed_receipt_unpublished": Death(
        "MOF", f"receipts_issued WHERE {CLAIMED}", f"receipts_issued WHERE {MARKED}"
    ),
    "receipt_published_unconfirmed": Death(
        "MOF", f"receipts_issued WHERE {CLAIMED}", f"receipts_issued WHERE {MARKED}"
    ),
    "receipt_confirmed_unmarked": Death("MOF", f"receipts_issued WHERE {CLAIMED}", f"receipts_issued WHERE {MARKED}"),
    "receipt_received_uncommitted": Death("MPW", "transmissions", "receipts_received"),
    "receipt_committed_unacked": Death("MPW", "receipts_received", "transmissions WHERE state = 'not_delivered'"),
}


def test_every_kill_point_has_a_kill_test() -> None:
    assert {*DEATHS, *DEATHS_OF_THE_AUTHORITY} == {point.value for point in KillPoint}


@pytest.fixture(scope="module")
def story(shared_bed: FaultBed) -> Iterator[FaultBed]:
    """One story for all cases: stores and books grow from death to death."""
    shared_bed.restore()
    yield shared_bed
    shared_bed.restore()


@pytest.mark.parametrize("passage", [1, 3], ids=["first", "third"])
@pytest.mark.parametrize("point", DEATHS)
def test_killed_adapter_loses_and_doubles_nothing(story: FaultBed, point: str, passage: int) -> None:
    bed, death = story, DEATHS[point]
    if bed.adapters and not bed.books().balanced:
        bed.restore()  # an earlier case failed; this one begins a new story
    if death.agency in bed.adapters:
        bed.adapter(death.agency).kill()
    armed = bed.begin(death.agency, kill_at=f"{point}:{passage}")
    other = "MOF" if death.agency == "MPW" else "MPW"
    if other not in bed.adapters:
        bed.begin(other)
    for each in bed.adapters.values():
        each.wait_ready()
    accepted = bed.count("MPW", "letters")
    held, lacked = (bed.count(death.agency, rows) for rows in (death.holds, death.lacks))
    name = f"{point}-{passage}"
    keys = [_send(bed, f"{name}-before-{number}", delivered=True) for number in range(1, passage)]
    keys += [_send(bed, f"{name}-burst-{number}", delivered=False) for number in range(BURST)]
    assert armed.wait_exit() == SIGKILLED, armed.tail()
    if passage == 1:
        assert death.holds == NOTHING or bed.count(death.agency, death.holds) > held
        assert bed.count(death.agency, death.lacks) == lacked
    bed.start(death.agency)
    ids = {send_until_answered(bed, "MPW", key, ["MOF"]) for key in keys}
    assert len(ids) == len(keys) == passage - 1 + BURST
    books = bed.settle()
    assert books.delivered == books.accepted == accepted + len(ids)
    bed.wait_queues_empty()
    assert bed.books().balanced


def _send(bed: FaultBed, key: str, *, delivered: bool) -> str:
    """Send one letter MPW → MOF, unless the armed adapter dies over it; returns its idempotency key.

    With ``delivered``, wait until the letter has come full circle: one passage of every point.
    """
    mpw, mof = bed.adapter("MPW"), bed.adapter("MOF")
    try:
        reply = mpw.send(key, ["MOF"])
        assert reply.status == 202, reply
        if delivered:
            eventually(lambda: mpw.state(reply.body["id"], "MOF") == "delivered", lambda: f"{key}\n{bed.tails()}")
    except NoAnswerError:
        eventually(lambda: not (mpw.running and mof.running), lambda: f"a death\n{bed.tails()}")
    return key
