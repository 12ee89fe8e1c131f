"""The state of a transmission: the whole table, and walks through it."""

from itertools import product

import pytest

from schemas.delivery import TERMINAL_STATES, Effect, Transition, TransmissionState, advance
from schemas.reasons import NonDeliveryReason
from schemas.receipts import ReceiptEvent

S, E, R = TransmissionState, Effect, ReceiptEvent
REASONS = [None, *NonDeliveryReason, "a reason of a newer release"]
STEPS = [R.ACCEPTED, R.HANDED_OVER, R.HAND_OVER_FAILED, R.OPENED, R.REGISTERED, R.RETURNED]
"""Events that only add to the timeline."""

EXPECTED = {
    **{(state, event): (state, E.ADDED) for state, event in product(S, STEPS)},
    **{(state, R.HELD): (S.HELD, E.ADVANCED) for state in (S.ACCEPTED, S.SENT)},
    **{(state, R.DELIVERED): (S.DELIVERED, E.ADVANCED) for state in (S.ACCEPTED, S.SENT, S.HELD)},
    **{(state, R.NOT_DELIVERED): (S.NOT_DELIVERED, E.ADVANCED) for state in (S.ACCEPTED, S.SENT, S.HELD)},
    **{(state, R.REJECTED): (S.REFUSED, E.ADVANCED) for state in (S.ACCEPTED, S.SENT, S.HELD)},
    (S.HELD, R.HELD): (S.HELD, E.REPEATED),
    (S.DELIVERED, R.HELD): (S.DELIVERED, E.ADDED),
    (S.DELIVERED, R.DELIVERED): (S.DELIVERED, E.REPEATED),
    (S.DELIVERED, R.NOT_DELIVERED): (S.DELIVERED, E.CONFLICT),
    (S.DELIVERED, R.REJECTED): (S.DELIVERED, E.CONFLICT),
    (S.NOT_DELIVERED, R.HELD): (S.NOT_DELIVERED, E.ADDED),
    (S.NOT_DELIVERED, R.DELIVERED): (S.NOT_DELIVERED, E.CONFLICT),  # but for the one exception below
    (S.NOT_DELIVERED, R.NOT_DELIVERED): (S.NOT_DELIVERED, E.REPEATED),
    (S.NOT_DELIVERED, R.REJECTED): (S.NOT_DELIVERED, E.CONFLICT),
    (S.REFUSED, R.HELD): (S.REFUSED, E.ADDED),
    (S.REFUSED, R.DELIVERED): (S.REFUSED, E.CONFLICT),
    (S.REFUSED, R.NOT_DELIVERED): (S.REFUSED, E.CONFLICT),
    (S.REFUSED, R.REJECTED): (S.REFUSED, E.REPEATED),
}


def test_the_table_is_whole() -> None:
    assert set(EXPECTED) == set(product(S, R))


@pytest.mark.parametrize("state", TransmissionState)
@pytest.mark.parametrize("event", ReceiptEvent)
def test_an_event_moves_a_state_as_the_table_says(state: TransmissionState, event: ReceiptEvent) -> None:
    for reason, in_time in product(REASONS, (True, False)):
        expected = Transition(*EXPECTED[state, event])
        if (state, event, reason, in_time) == (S.NOT_DELIVERED, R.DELIVERED, "expired", True):
            expected = Transition(S.DELIVERED, E.ADVANCED)
        assert advance(state, event, current_reason=reason, in_time=in_time) == expected, (reason, in_time)


def test_a_delivery_counts_as_in_time_unless_the_record_says_otherwise() -> None:
    assert advance(S.NOT_DELIVERED, R.DELIVERED, current_reason="expired").state is S.DELIVERED
    assert advance(S.NOT_DELIVERED, R.DELIVERED).state is S.NOT_DELIVERED


Occurrence = tuple[ReceiptEvent, str | None, bool]
OCCURRENCES: list[Occurrence] = [
    (R.ACCEPTED, None, True),
    (R.HELD, "recipient_suspended", True),
    (R.DELIVERED, None, True),
    (R.DELIVERED, None, False),
    (R.NOT_DELIVERED, "expired", True),
    (R.NOT_DELIVERED, "late", True),
    (R.REJECTED, "recipient_unknown", True),
    (R.REGISTERED, None, True),
]
"""Each event that has a target, with what makes a difference to it, and two that have none."""


def test_walks_of_five_receipts_keep_the_invariants() -> None:
    walks = 0
    for walk in product(OCCURRENCES, repeat=5):
        state, reason = S.SENT, None
        terminal_entries = 0
        for event, said, in_time in walk:
            found = advance(state, event, current_reason=reason, in_time=in_time)
            changed = found.state is not state
            assert changed == (found.effect is E.ADVANCED)
            if state in TERMINAL_STATES and changed:
                assert (state, reason, event, in_time) == (S.NOT_DELIVERED, "expired", R.DELIVERED, True)
                assert found.state is S.DELIVERED
            if changed:
                state, reason = found.state, said
                terminal_entries += state in TERMINAL_STATES
            again = advance(state, event, current_reason=reason, in_time=in_time)
            assert again.state is state, "the same receipt once more changes nothing"
            assert again.effect is not E.ADVANCED
        assert terminal_entries <= 2, "an outcome, and at most once delivered over expired"
        assert (state in TERMINAL_STATES) == any(
            event in {R.DELIVERED, R.NOT_DELIVERED, R.REJECTED} for event, _, _ in walk
        )
        walks += 1
    assert walks == len(OCCURRENCES) ** 5


def test_delivered_in_time_and_expired_end_in_delivered_in_either_order() -> None:
    delivered, expired = (R.DELIVERED, None), (R.NOT_DELIVERED, "expired")
    for order in ((delivered, expired), (expired, delivered), (expired, expired, delivered, expired)):
        state, reason = S.SENT, None
        for event, said in order:
            found = advance(state, event, current_reason=reason)
            if found.state is not state:
                state, reason = found.state, said
        assert state is S.DELIVERED
