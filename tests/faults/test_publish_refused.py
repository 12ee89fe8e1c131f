"""The broker will not take letters for now: all of them, or those of one recipient."""

from functools import partial

import pytest

from tests.faults.bed import ALARMS, FaultBed
from tests.support.adapters import AdapterProcess, send_until_answered

LETTERS = 40
MAILBOX = "inbox.MOF.routine"
ROOM = 20_000
"""Bytes: a few letters."""
PROBES = 2


@pytest.mark.parametrize("alarm", ALARMS)
def test_letters_wait_while_the_broker_is_blocked_by_an_alarm_and_then_all_arrive(bed: FaultBed, alarm: str) -> None:
    bed.begin("MPW")
    bed.start("MOF")
    bed.wait_ready("MPW")
    bed.block_publishers(alarm)
    # The broker says that it is blocked to whoever publishes, not before.
    send_until_answered(bed, "MPW", "first", ["MOF"])
    bed.wait_broker("MPW", "broker_blocked")
    with bed.load("MPW", ["MOF"], LETTERS):
        pass
    assert bed.adapter("MPW").check("broker")["status"] == 503
    assert bed.states("MPW") == {"accepted": LETTERS + 1}

    bed.unblock_publishers()
    assert bed.close_books().delivered == LETTERS + 1


def test_full_mailbox_is_probed_one_letter_at_a_time_and_holds_up_nobody_else(bed: FaultBed) -> None:
    bed.narrow(MAILBOX, ROOM)
    for code in ("MPW", "SAB", "MOI"):
        bed.begin(code)
    bed.wait_ready("MPW", "SAB", "MOI")
    mpw = bed.adapter("MPW")
    with bed.load("MPW", ["MOF"], LETTERS, urgent_every=0):
        pass
    # The broker takes what is already on its way when the mailbox is full; it refuses what comes after that.
    late: list[str] = []
    bed.until(partial(_waits, bed, late), "waiting_since")
    assert mpw.state(late[-1], "MOF") == "accepted"

    others = send_until_answered(bed, "MPW", "others", ["SAB", "MOI", "MOF"])
    for code in ("SAB", "MOI"):
        bed.wait_state("MPW", others, code, "delivered")
        assert mpw.transmissions(others)[code]["waiting_since"] is None
    urgent = send_until_answered(bed, "MPW", "urgent", ["MOF"], urgency="URGENT")
    bed.wait_state("MPW", urgent, "MOF", "sent")
    assert mpw.state(others, "MOF") == "accepted"
    _watch_probes(mpw)

    bed.widen()
    bed.start("MOF")
    books = bed.close_books()
    assert (books.accepted, books.delivered) == (LETTERS + len(late) + 2, LETTERS + len(late) + 4)


def _waits(bed: FaultBed, late: list[str]) -> bool:
    """Send one more letter, and see whether it waits for a full mailbox."""
    late.append(send_until_answered(bed, "MPW", f"late-{len(late)}", ["MOF"]))
    bed.until(lambda: _tried(bed, late[-1]), "tried")
    return bed.adapter("MPW").transmissions(late[-1])["MOF"]["waiting_since"] is not None


def _tried(bed: FaultBed, letter: str) -> bool:
    seen = bed.adapter("MPW").transmissions(letter)["MOF"]
    return seen["state"] == "sent" or seen["waiting_since"] is not None


def _watch_probes(mpw: AdapterProcess) -> None:
    """Nothing but probes is published now, and never two at a time."""
    seen: set[int] = set()
    first = _unanswered_and_refused(mpw)[1]
    refused = first
    while refused < first + PROBES:
        unanswered, refused = _unanswered_and_refused(mpw)
        seen.add(unanswered)
    assert seen <= {0, 1}


def _unanswered_and_refused(mpw: AdapterProcess) -> tuple[int, int]:
    counted = mpw.metrics()
    refused = counted["tarasul_messages_refused_total"]
    answered = refused + counted["tarasul_messages_confirmed_total"] + counted["tarasul_messages_lost_total"]
    return int(counted["tarasul_messages_published_total"] - answered), int(refused)
