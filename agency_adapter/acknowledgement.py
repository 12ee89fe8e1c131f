"""The acknowledgement that some types ask of every recipient: its registration, within a span of working time.

What is owed follows from the type (:mod:`schemas.letter_type`); the clock begins with the arrival. A letter that was
sent back has been answered: nothing more is owed. Nothing is refused or repeated for want of it: it is shown, at both
ends.
"""

from datetime import datetime
from functools import lru_cache

from schemas.type_registry import all_types
from schemas.working_time import KUWAIT

_MINUTE_MS = 60_000


def acknowledgement_due(type_name: str, arrived_at: int | None, returned_at: int | None) -> int | None:
    """Until when a letter that arrived at ``arrived_at`` is to be registered; all Unix milliseconds.

    None when its type owes no registration, or is one that this release does not know; before it has arrived; and once
    it was sent back.
    """
    return None if arrived_at is None or returned_at is not None else _due(type_name, arrived_at // _MINUTE_MS)


def owes_acknowledgement(type_name: str) -> bool:
    """Whether every recipient of a letter of this type owes its registration."""
    return _due(type_name, 0) is not None


# A page of circulars asks this ten thousand times, mostly about the same minutes.
@lru_cache(maxsize=4096)
def _due(type_name: str, arrived_minute: int) -> int | None:
    kind = all_types().get(type_name)
    if kind is None or not kind.acknowledgement_owed or kind.acknowledgement_deadline is None:
        return None
    arrived = datetime.fromtimestamp(arrived_minute * 60, KUWAIT)
    return int(kind.acknowledgement_deadline.after(arrived).timestamp() * 1000)
