"""Hijri dates by the Umm al-Qura calendar, which Kuwaiti gazette dates follow, 1343 to 1500 AH.

Written ``YYYY-MM-DD`` AH on the wire; :func:`printed` gives them as on paper. Outside the range there is no
Hijri date, and the Gregorian one stands alone.
"""

import re
from datetime import date, timedelta
from functools import lru_cache

from hijridate import Gregorian, Hijri

FIRST_DAY = date(1924, 8, 1)
LAST_DAY = date(2077, 11, 16)
_LONGEST_MONTH = 30
_WRITTEN = re.compile("([0-9]{4})-([0-9]{2})-([0-9]{2})")

MONTHS = (
    "محرم",
    "صفر",
    "ربيع الأول",
    "ربيع الآخر",
    "جمادى الأولى",
    "جمادى الآخرة",
    "رجب",
    "شعبان",
    "رمضان",
    "شوال",
    "ذو القعدة",
    "ذو الحجة",
)


@lru_cache(maxsize=1024)
def hijri_of(day: date) -> str | None:
    """``day`` as ``YYYY-MM-DD`` AH, or None outside the calendar's range."""
    if not FIRST_DAY <= day <= LAST_DAY:
        return None
    return str(Gregorian(day.year, day.month, day.day).to_hijri().isoformat())


def agrees(hijri_date: str, day: date) -> bool:
    """Whether a sender's Hijri date may stand for ``day``: one day either way, as the moon is sighted.

    A month that has 29 days in the calendar has 30 where the new moon was seen a day later.
    """
    written = _WRITTEN.fullmatch(hijri_date)
    if written is None:
        return False
    year, month, day_of_month = (int(part) for part in written.groups())
    if not (1 <= month <= len(MONTHS) and 1 <= day_of_month <= _LONGEST_MONTH):
        return False
    try:
        first = Hijri(year, month, 1).to_gregorian()
    except OverflowError:
        return False
    return abs(date(first.year, first.month, first.day) + timedelta(days=day_of_month - 1) - day) <= timedelta(days=1)


def printed(hijri_date: str) -> str:
    """``1432-09-01`` as it stands on a letter: «1 رمضان 1432 هـ».

    Raises:
        ValueError: if it is not written ``YYYY-MM-DD`` with a month from 1 to 12.
    """
    year, month, day = (int(part) for part in hijri_date.split("-"))
    if not 1 <= month <= len(MONTHS):
        raise ValueError(hijri_date)
    return f"{day} {MONTHS[month - 1]} {year} هـ"
