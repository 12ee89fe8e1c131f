"""Gaps of the journal, and who has looked at them.

A gap turns a check red until a person says who looked at it and what it was. The record of the gap stays as it is, with
that word beside it, and the word is given once: whoever comes second is told the first.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, func, insert, select
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from gateway.journal import storable
from gateway.moments import written
from gateway.settings import AuthoritySettings
from gateway.store.opening import open_gateway_store, reading
from gateway.store.tables import journal_gap_acknowledgements, journal_gaps
from schemas.errors import ErrorCode, Refused

_g, _a = journal_gaps.c, journal_gap_acknowledgements.c
_GAPS = select(
    _g.seq,
    _g.kind,
    _g.incarnation,
    _g.after_offset,
    _g.first_offset,
    _g.noted_at,
    _a.acknowledged_at,
    _a.acknowledged_by,
    _a.reason,
).select_from(journal_gaps.outerjoin(journal_gap_acknowledgements, _a.gap_seq == _g.seq))


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Somebody has looked at the gap ``seq``; ``at`` in Unix milliseconds."""

    seq: int
    by: str
    reason: str
    at: int


def listed(settings: AuthoritySettings) -> list[dict[str, Any]]:
    """Every gap, newest first, times in RFC 3339; what is not acknowledged has None there.

    Raises:
        Refused: what :func:`gateway.store.opening.reading` raises.
    """
    with reading(settings.store, settings.base) as connection:
        return [_entry(row) for row in connection.execute(_GAPS.order_by(_g.seq.desc())).mappings()]


def acknowledge(settings: AuthoritySettings, given: Acknowledgement) -> tuple[dict[str, Any], bool]:
    """Write down that a gap was looked at; returns the gap, and whether this acknowledgement is the one that counts.

    Raises:
        Refused: ``journal_gap_not_found``; ``store_unavailable``; what :func:`gateway.store.opening.reading` raises: a
            store of another release is brought up to date by the readers alone.
    """
    with reading(settings.store, settings.base) as connection:
        _gap(connection, given.seq)
    store = open_gateway_store(settings.store, settings.base)
    try:
        with store.engine.begin() as connection:
            new = _write(connection, given)
            return _gap(connection, given.seq), new
    except SQLAlchemyError as error:
        raise Refused(ErrorCode.STORE_UNAVAILABLE) from error
    finally:
        store.close()


def count(connection: Connection) -> tuple[int, int]:
    """How many gaps there are, and how many of them nobody has acknowledged."""
    all_gaps = connection.execute(select(func.count()).select_from(journal_gaps)).scalar_one()
    known = connection.execute(select(func.count()).select_from(journal_gap_acknowledgements)).scalar_one()
    return all_gaps, all_gaps - known


def _write(connection: Connection, given: Acknowledgement) -> bool:
    values = {
        "gap_seq": given.seq,
        "acknowledged_at": given.at,
        "acknowledged_by": storable(given.by),
        "reason": storable(given.reason),
    }
    try:
        with connection.begin_nested():
            connection.execute(insert(journal_gap_acknowledgements).values(**values))
    except IntegrityError:
        return False
    return True


def _gap(connection: Connection, seq: int) -> dict[str, Any]:
    row = connection.execute(_GAPS.where(_g.seq == seq)).mappings().one_or_none()
    if row is None:
        raise Refused(ErrorCode.JOURNAL_GAP_NOT_FOUND, number=seq)
    return _entry(row)


def _entry(row: RowMapping) -> dict[str, Any]:
    entry: dict[str, Any] = {str(name): value for name, value in row.items()}
    for name in ("noted_at", "acknowledged_at"):
        if entry[name] is not None:
            entry[name] = written(entry[name])
    return entry
