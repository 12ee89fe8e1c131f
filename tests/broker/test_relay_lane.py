"""One window and one breaker for each recipient lane."""

from hypothesis import given
from hypothesis import strategies as st

from broker.relay import CHUNK, LONGEST_PROBE_WAIT_SECONDS, WINDOW, Lane


def test_a_lane_has_room_for_a_chunk_until_its_window_is_full() -> None:
    lane = Lane()
    assert lane.room(0.0) == CHUNK
    lane.in_flight = WINDOW - 5
    assert lane.room(0.0) == 5
    lane.in_flight = WINDOW
    assert lane.room(0.0) == 0


def test_a_full_mailbox_is_probed_one_message_at_a_time() -> None:
    lane = Lane()
    lane.refused(now=100.0, wall=1_000.0, jitter=1.0, probe=False)
    assert lane.full_since == 1_000.0
    assert lane.room(100.0) == 0
    assert lane.room(lane.next_probe) == 1
    lane.in_flight = 1
    assert lane.room(lane.next_probe) == 0


def test_the_first_confirmed_probe_opens_the_lane_again() -> None:
    lane = Lane()
    lane.refused(now=0.0, wall=0.0, jitter=0.5, probe=False)
    lane.confirmed(probe=True)
    assert lane.full_since is None
    assert lane.room(0.0) == CHUNK


def test_answers_to_what_was_published_before_the_mailbox_was_full_are_no_news() -> None:
    lane = Lane()
    lane.refused(now=100.0, wall=1_000.0, jitter=1.0, probe=False)
    next_probe = lane.next_probe
    lane.refused(now=100.0, wall=1_001.0, jitter=1.0, probe=False)
    assert (lane.next_probe, lane.full_since, lane.refusals) == (next_probe, 1_000.0, 1)
    lane.confirmed(probe=False)
    assert lane.full_since == 1_000.0


@given(st.integers(min_value=1, max_value=100), st.floats(min_value=0, max_value=1))
def test_waits_between_probes_grow_and_stay_bounded(refusals: int, jitter: float) -> None:
    lane, now = Lane(), 0.0
    for _ in range(refusals):
        lane.refused(now, wall=now, jitter=jitter, probe=True)
        assert now < lane.next_probe <= now + LONGEST_PROBE_WAIT_SECONDS
        now = lane.next_probe
    assert lane.full_since == 0.0
