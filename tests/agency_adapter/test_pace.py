"""When a circular is due to each of its recipients."""

import pytest

from agency_adapter.pace import MOST_UNPACED, PER_SECOND, SLOT_MS, Pace
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


def test_a_circular_to_all_has_left_within_a_second(clock: StillClock) -> None:
    dues = Pace(clock).due(51)
    assert dues[0] == clock.unix_ms()
    assert dues[-1] < clock.unix_ms() + 1000


def test_letters_to_few_are_due_at_once_however_many_they_are(clock: StillClock) -> None:
    pace = Pace(clock)
    pace.due(250)
    assert [pace.due(MOST_UNPACED) for _ in range(100)] == [[clock.unix_ms()] * MOST_UNPACED] * 100


def test_circulars_handed_over_together_are_due_at_the_pace_and_in_slots(clock: StillClock) -> None:
    pace = Pace(clock)
    dues = [due for _ in range(40) for due in pace.due(51)]
    now = clock.unix_ms()
    assert dues == sorted(dues)
    assert dues[0] == now
    assert all(due % SLOT_MS == 0 for due in dues[1:])
    for number, due in enumerate(dues):
        assert -1 <= due - now - number / PER_SECOND * 1000 <= SLOT_MS + 1


def test_rest_makes_room_again_and_saves_none_up(clock: StillClock) -> None:
    pace = Pace(clock)
    for _ in range(5):
        pace.due(250)
    clock.seconds += 5 * 250 / PER_SECOND + 3_600
    dues = pace.due(250)
    assert dues[0] == clock.unix_ms()
    assert abs(dues[-1] - dues[0] - 249 / PER_SECOND * 1000) <= SLOT_MS + 1


def test_a_wall_clock_that_is_set_back_keeps_nothing_waiting(clock: StillClock) -> None:
    pace = Pace(clock)
    pace.due(250)
    clock.offset -= 3_600
    clock.seconds += 250 / PER_SECOND
    assert pace.due(51)[0] == clock.unix_ms()
