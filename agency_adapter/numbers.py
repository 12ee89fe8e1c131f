"""Registry numbers: outgoing (رقم الصادر) and incoming (رقم الوارد).

A number comes from the agency's own system, or from the adapter as ``MPW/2026/000042`` and ``MPW/IN/2026/000042``.
Either way it is unique within its direction and year, and none is ever given twice: the adapter takes its numbers
inside the transaction that stores the letter, and never below the mark that stands outside the store (see
:mod:`agency_adapter.mark`). The year is Kuwait's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Integer, bindparam, select
from sqlalchemy.dialects.sqlite import insert

from agency_adapter.store.tables import inbox, letters, number_series

KUWAIT = ZoneInfo("Asia/Kuwait")
MOST_GAPS = 1000


class Direction(StrEnum):
    OUTGOING = "outgoing"
    INCOMING = "incoming"


@dataclass(frozen=True, slots=True)
class Gap:
    """Numbers of the adapter's own series that no letter bears, from ``first`` to ``last``, both included."""

    first: str
    last: str
    count: int


def year_of(instant: datetime) -> int:
    """The registry year of an aware instant."""
    return instant.astimezone(KUWAIT).year


def written(agency: str, direction: Direction, year: int, sequence: int) -> str:
    """The number as it is printed."""
    kind = "IN/" if direction is Direction.INCOMING else ""
    return f"{agency}/{kind}{year}/{sequence:06d}"


def take(connection: Connection, direction: Direction, year: int, count: int) -> range:
    """Take ``count`` consecutive numbers for ``year``, within the open transaction."""
    following: int = connection.execute(_TAKE, {"direction": direction, "year": year, "count": count}).scalar_one()
    return range(following - count, following)


def next_number(connection: Connection, direction: Direction, year: int) -> int:
    """The number that would be given next."""
    series = number_series.c
    return (
        connection.execute(select(series.next).where(series.direction == direction, series.year == year)).scalar() or 1
    )


_TAKE = (
    insert(number_series)
    .values(direction=bindparam("direction"), year=bindparam("year"), next=bindparam("count", type_=Integer) + 1)
    .on_conflict_do_update(
        index_elements=["direction", "year"],
        set_={"next": number_series.c.next + bindparam("count", type_=Integer)},
    )
    .returning(number_series.c.next)
)


def gaps(connection: Connection, agency: str, direction: Direction, year: int) -> list[Gap]:
    """Holes in the adapter's own series of ``year``, oldest first, :data:`MOST_GAPS` at most.

    A hole is a number that was taken by a store that has since been restored from an older copy, or one that the
    agency's own system used first.
    """
    if direction is Direction.OUTGOING:
        column, of_year = letters.c.outgoing_sequence, letters.c.year
    else:
        column, of_year = inbox.c.incoming_sequence, inbox.c.year
    used: Sequence[int] = (
        connection.execute(select(column).where(of_year == year, column.is_not(None)).order_by(column)).scalars().all()
    )
    found: list[Gap] = []
    expected = 1
    for sequence in [*used, next_number(connection, direction, year)]:
        if sequence > expected:
            found.append(
                Gap(
                    written(agency, direction, year, expected),
                    written(agency, direction, year, sequence - 1),
                    sequence - expected,
                )
            )
            if len(found) == MOST_GAPS:
                break
        expected = max(expected, sequence + 1)
    return found
