"""Reply clocks: the weekend is Friday and Saturday, a working day 07:30 to 14:30 in Kuwait."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.marks import Urgency
from schemas.working_time import CLOSING, KUWAIT, OPENING, REPLY_CLOCKS, WEEKEND, WorkingSpan

SUNDAY, MONDAY, THURSDAY, FRIDAY, SATURDAY = "2026-03-01", "2026-03-02", "2026-03-05", "2026-03-06", "2026-03-07"
NEXT_SUNDAY, NEXT_MONDAY = "2026-03-08", "2026-03-09"


def kuwait(day: str, time: str) -> datetime:
    return datetime.fromisoformat(f"{day}T{time}+03:00")


def test_the_weekend_is_friday_and_saturday() -> None:
    days = [kuwait(day, "12:00").weekday() for day in (FRIDAY, SATURDAY)]
    assert set(days) == WEEKEND
    assert kuwait(SUNDAY, "12:00").strftime("%A") == "Sunday"


@pytest.mark.parametrize(
    ("days", "day", "time", "end"),
    [
        (1, SUNDAY, "12:00", MONDAY),
        (1, SUNDAY, "00:00", MONDAY),
        (1, SUNDAY, "23:59", MONDAY),
        (1, THURSDAY, "08:00", NEXT_SUNDAY),
        (2, THURSDAY, "08:00", NEXT_MONDAY),
        (1, FRIDAY, "08:00", NEXT_SUNDAY),
        (1, SATURDAY, "23:00", NEXT_SUNDAY),
        (4, SUNDAY, "08:00", THURSDAY),
        (5, SUNDAY, "08:00", NEXT_SUNDAY),
        (10, SUNDAY, "08:00", "2026-03-15"),
    ],
)
def test_working_days_pass_over_the_weekend_and_end_at_closing_time(days: int, day: str, time: str, end: str) -> None:
    assert WorkingSpan(days=days).after(kuwait(day, time)) == kuwait(end, "14:30")


@pytest.mark.parametrize(
    ("hours", "day", "time", "end_day", "end_time"),
    [
        (4, SUNDAY, "08:00", SUNDAY, "12:00"),
        (4, SUNDAY, "10:30", SUNDAY, "14:30"),
        (4, SUNDAY, "10:31", MONDAY, "07:31"),
        (4, SUNDAY, "05:00", SUNDAY, "11:30"),
        (4, SUNDAY, "14:30", MONDAY, "11:30"),
        (4, SUNDAY, "22:00", MONDAY, "11:30"),
        (4, THURSDAY, "13:00", NEXT_SUNDAY, "10:00"),
        (4, FRIDAY, "08:00", NEXT_SUNDAY, "11:30"),
        (7, SUNDAY, "07:30", SUNDAY, "14:30"),
        (20, THURSDAY, "07:30", NEXT_MONDAY, "13:30"),
    ],
)
def test_working_hours_count_only_while_offices_are_open(
    hours: int, day: str, time: str, end_day: str, end_time: str
) -> None:
    assert WorkingSpan(hours=hours).after(kuwait(day, time)) == kuwait(end_day, end_time)


def test_the_clock_is_kuwaits_wherever_the_instant_was_written() -> None:
    instant = kuwait(SUNDAY, "23:30")
    for zone in (UTC, timezone(timedelta(hours=-11)), timezone(timedelta(hours=14))):
        found = WorkingSpan(days=1).after(instant.astimezone(zone))
        assert found == kuwait(MONDAY, "14:30")
        assert found.utcoffset() == timedelta(hours=3)


def test_each_urgency_has_its_clock() -> None:
    assert dict(REPLY_CLOCKS) == {
        Urgency.ROUTINE: WorkingSpan(days=10),
        Urgency.URGENT: WorkingSpan(days=3),
        Urgency.VERY_URGENT: WorkingSpan(days=1),
        Urgency.IMMEDIATE: WorkingSpan(hours=4),
    }
    assert set(REPLY_CLOCKS) == set(Urgency)


SPANS = st.one_of(st.builds(WorkingSpan, days=st.integers(1, 30)), st.builds(WorkingSpan, hours=st.integers(1, 60)))
INSTANTS = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - the strategy adds the zone


@given(SPANS, INSTANTS)
def test_a_clock_always_ends_later_within_working_time(span: WorkingSpan, start: datetime) -> None:
    end = span.after(start)
    assert end > start
    assert end.weekday() not in WEEKEND
    assert OPENING <= end.time() <= CLOSING
    assert (end.second, end.microsecond, end.tzinfo) == (0, 0, KUWAIT)


@given(SPANS, INSTANTS, st.timedeltas(timedelta(0), timedelta(days=9)))
def test_who_starts_later_is_due_no_earlier(span: WorkingSpan, start: datetime, later: timedelta) -> None:
    assert span.after(start) <= span.after(start + later)
