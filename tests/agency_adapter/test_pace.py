"""When a circular is due to each of its recipients."""

import pytest

from agency_adapter.pace import AT_ONCE, MOST_UNPACED, PER_SECOND, SLOT_MS, Pace
from broker.clock import Clock


class StillClock(Clock):
    """Time that passes when it is told to, on both clocks."""

    def __init__(self) -> None:
        super().__init__(0)
        self.seconds = 1_000.0

    def monotonic(self) -> float:
        return self.seconds

    def unix_ms(self) -> int:
        return 1_800_000_000_000 + int((self.seconds + self.offset) * 1000)


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


def test_a_circular_after_some_rest_is_due_at_once_to_as_many_as_a_letter_may_have(clock: StillClock) -> None:
    assert Pace(clock).due(AT_ONCE) == [clock.unix_ms()] * AT_ONCE


def test_letters_to_few_are_due_at_once_however_many_they_are(clock: StillClock) -> None:
    pace = Pace(clock)
    pace.due(AT_ONCE)
    assert [pace.due(MOST_UNPACED) for _ in range(100)] == [[clock.unix_ms()] * MOST_UNPACED] * 100


def test_circulars_handed_over_together_are_due_at_the_pace_and_in_slots(clock: StillClock) -> None:
    pace = Pace(clock)
    dues = [due for _ in range(40) for due in pace.due(51)]
    now = clock.unix_ms()
    assert dues == sorted(dues)
    assert dues.count(now) in range(AT_ONCE, AT_ONCE + 2)
    assert all(due == now or due % SLOT_MS == 0 for due in dues)
    seconds = (len(dues) - AT_ONCE) / PER_SECOND
    assert abs(dues[-1] - now - seconds * 1000) <= SLOT_MS


def test_rest_makes_room_again(clock: StillClock) -> None:
    pace = Pace(clock)
    for _ in range(5):
        pace.due(AT_ONCE)
    clock.seconds += 5 * AT_ONCE / PER_SECOND
    assert pace.due(AT_ONCE) == [clock.unix_ms()] * AT_ONCE


def test_a_wall_clock_that_is_set_back_keeps_nothing_waiting(clock: StillClock) -> None:
    pace = Pace(clock)
    pace.due(AT_ONCE)
    clock.offset -= 3_600
    clock.seconds += AT_ONCE / PER_SECOND
    assert pace.due(51) == [clock.unix_ms()] * 51
