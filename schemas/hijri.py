"""Hijri dates by the Umm al-Qura calendar, which Kuwaiti gazette dates follow, 1343 to 1500 AH."""

from datetime import date, timedelta

from hijridate import Gregorian

FIRST_DAY = date(1924, 8, 1)
LAST_DAY = date(2077, 11, 16)


def hijri_of(day: date) -> str | None:
    """``day`` as ``YYYY-MM-DD`` AH, or None outside the calendar's range."""
    if not FIRST_DAY <= day <= LAST_DAY:
        return None
    return str(Gregorian(day.year, day.month, day.day).to_hijri().isoformat())


def agrees(printed: str, day: date) -> bool:
    """Whether a printed Hijri date may stand for ``day``: one day either way, for the sighting of the moon."""
    return any(hijri_of(day + timedelta(days=shift)) == printed for shift in (0, -1, 1))
