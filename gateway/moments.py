"""Times of the store, which are Unix milliseconds, as people and programs read them."""

from datetime import UTC, datetime

from schemas.working_time import KUWAIT


def written(unix_ms: int) -> str:
    """RFC 3339 with milliseconds, in the time of Kuwait."""
    return datetime.fromtimestamp(unix_ms / 1000, UTC).astimezone(KUWAIT).isoformat(timespec="milliseconds")
