"""Reply clocks in working time.

All of it is a default kept as data, an assumption and not a rule of Kuwait: working days Sunday to Thursday,
07:30 to 14:30, and the clocks by urgency. Public holidays are the agency's calendar in the directory, not
known here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta, timezone
from types import MappingProxyType

from schemas.marks import Urgency

KUWAIT = timezone(timedelta(hours=3), "Asia/Kuwait")
"""Kuwait has had no daylight saving, so a fixed offset is exact and needs no time zone files."""

WEEKEND = frozenset({4, 5})
"""Friday and Saturday, as ``date.weekday()`` counts."""

OPENING = time(7, 30)
CLOSING = time(14, 30)


@dataclass(frozen=True, slots=True)
class WorkingSpan:
    """A number of working days, which end at closing time, or of working hours."""

    days: int = 0
    hours: int = 0

    def after(self, start: datetime) -> datetime:
        """The end of this span, begun at the aware instant ``start``; in Kuwait's time.

        The day of ``start`` does not count as one of the days.
        """
        now = start.astimezone(KUWAIT)
        if self.days:
            for _ in range(self.days):
                now = _next_opening(now)
            return now.replace(hour=CLOSING.hour, minute=CLOSING.minute)
        left = timedelta(hours=self.hours)
        if now.weekday() in WEEKEND or now.timetz().replace(tzinfo=None) >= CLOSING:
            now = _next_opening(now)
        now = max(now, now.replace(hour=OPENING.hour, minute=OPENING.minute, second=0, microsecond=0))
        while (until_closing := _closing(now) - now) < left:
            left -= until_closing
            now = _next_opening(now)
        return (now + left).replace(second=0, microsecond=0)


def _closing(now: datetime) -> datetime:
    return now.replace(hour=CLOSING.hour, minute=CLOSING.minute, second=0, microsecond=0)


def _next_opening(now: datetime) -> datetime:
    day = now.replace(hour=OPENING.hour, minute=OPENING.minute, second=0, microsecond=0) + timedelta(days=1)
    while day.weekday() in WEEKEND:
        day += timedelta(days=1)
    return day


REPLY_CLOCKS: Mapping[Urgency, WorkingSpan] = MappingProxyType(
    {
        Urgency.ROUTINE: WorkingSpan(days=10),
        Urgency.URGENT: WorkingSpan(days=3),
        Urgency.VERY_URGENT: WorkingSpan(days=1),
        Urgency.IMMEDIATE: WorkingSpan(hours=4),
    }
)
