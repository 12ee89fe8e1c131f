"""Instants as the API writes them: RFC 3339 in Kuwait's time, to the millisecond."""

from datetime import datetime

from agency_adapter.numbers import KUWAIT


def moment(unix_ms: int) -> str:
    """``1795487280123`` as ``2026-11-24T05:28:00.123+03:00``."""
    return datetime.fromtimestamp(unix_ms / 1000, KUWAIT).isoformat(timespec="milliseconds")


def written(value: object) -> object:
    """``value`` with :func:`moment`, where it is Unix milliseconds; what is text already, or nothing, as it is."""
    return moment(value) if isinstance(value, int) else value
