"""Hijri dates: the vectors of Kuwaiti gazettes, both ends of the calendar, one day either way."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import ErrorCode
from schemas.hijri import FIRST_DAY, LAST_DAY, agrees, hijri_of, printed
from schemas.letter_checks import check_request
from schemas.letter_request import parse_request
from tests.schemas.letters import NOW, SENDER, request, sent
from tests.schemas.refusals import refused_with

DAY = timedelta(days=1)
VECTORS = [
    ("1399-05-07", date(1979, 4, 4)),
    ("1396-09-04", date(1976, 8, 29)),
    ("1438-04-04", date(2017, 1, 2)),
    ("1445-11-02", date(2024, 5, 10)),
    ("1432-09-01", date(2011, 8, 1)),
]


@pytest.mark.parametrize(("hijri", "day"), VECTORS)
def test_dates_of_the_gazette_agree_with_the_calendar(hijri: str, day: date) -> None:
    assert hijri_of(day) == hijri


@pytest.mark.parametrize(("hijri", "day"), [*VECTORS, ("1343-01-02", FIRST_DAY + DAY), ("1500-12-29", LAST_DAY - DAY)])
def test_a_printed_date_may_differ_by_one_day_and_no_more(hijri: str, day: date) -> None:
    assert [shift for shift in range(-3, 4) if agrees(hijri, day + shift * DAY)] == [-1, 0, 1]


def test_no_month_has_a_thirty_first_day() -> None:
    thirtieth = date(2011, 8, 30)  # 1432-09-30, where the moon was seen late
    assert agrees("1432-09-30", thirtieth)
    assert not agrees("1432-09-31", thirtieth + DAY)


def test_the_calendar_has_two_ends_beyond_which_there_is_no_hijri_date() -> None:
    assert (hijri_of(FIRST_DAY), hijri_of(LAST_DAY)) == ("1343-01-01", "1500-12-30")
    assert hijri_of(FIRST_DAY - DAY) is None
    assert hijri_of(LAST_DAY + DAY) is None
    assert agrees("1343-01-01", FIRST_DAY)
    assert agrees("1500-12-30", LAST_DAY)


def test_where_the_new_moon_was_seen_a_day_later_the_month_has_a_thirtieth_day() -> None:
    first_of_jumada_ii = date(2011, 5, 4)
    assert hijri_of(first_of_jumada_ii - DAY) == "1432-05-29", "which the calendar gives 29 days"
    assert hijri_of(first_of_jumada_ii) == "1432-06-01"
    assert agrees("1432-05-30", first_of_jumada_ii)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1432",
        "1432-09-31",
        "1432-13-01",
        "1432-00-01",
        "1432-09-00",
        "1342-12-29",
        "1501-01-01",
        "١٤٣٢-٠٩-٠١",
        "1432-09-01\n",
        "1432-9-1",
        "9999-01-01",
        "0000-01-01",
    ],
)
def test_what_is_no_hijri_date_agrees_with_no_day(text: str) -> None:
    for day in (date(2011, 8, 1), FIRST_DAY, LAST_DAY, date.min, date.max):
        assert not agrees(text, day)


@given(st.dates(FIRST_DAY, LAST_DAY))
def test_every_day_of_the_calendar_agrees_with_its_own_date_and_its_neighbours(day: date) -> None:
    for shift in (-1, 0, 1):
        hijri = hijri_of(day + shift * DAY)
        assert hijri is None or agrees(hijri, day)


def test_a_date_is_printed_as_on_paper() -> None:
    assert printed("1432-09-01") == "1 رمضان 1432 هـ"
    assert printed("1447-12-30") == "30 ذو الحجة 1447 هـ"
    for wrong in ("1432-13-01", "1432-00-01", "1432-09", "رمضان"):
        with pytest.raises(ValueError, match=r".+"):
            printed(wrong)


@pytest.mark.parametrize(
    ("issued_at", "hijri"),
    [
        ("2026-03-01T09:00:00Z", "1447-09-12"),
        ("2026-02-28T20:59:59Z", "1447-09-11"),
        ("2026-02-28T21:00:00Z", "1447-09-12"),
    ],
)
def test_a_letter_bears_the_hijri_date_of_its_day_in_kuwait(issued_at: str, hijri: str) -> None:
    assert sent(request() | {"issued_at": issued_at})["hijri_date"] == hijri


@pytest.mark.parametrize("hijri", ["1447-09-11", "1447-09-12", "1447-09-13"])
def test_the_senders_printed_date_is_kept_when_it_agrees(hijri: str) -> None:
    assert sent(request() | {"hijri_date": hijri})["hijri_date"] == hijri


@pytest.mark.parametrize("hijri", ["1447-09-10", "1447-09-14", "1446-09-12", "1447-19-12", "1447-09-39"])
def test_a_printed_date_that_does_not_agree_is_refused_with_the_right_one(hijri: str) -> None:
    asked = parse_request(request() | {"hijri_date": hijri})
    refused_with(
        lambda: check_request(asked, SENDER, NOW),
        ErrorCode.HIJRI_DATE_MISMATCH,
        "/hijri_date",
        hijri_date=hijri,
        date="2026-03-01",
        expected="1447-09-12",
    )
