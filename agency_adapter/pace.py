"""The pace of circulars: a letter to many is many letters, and what all of them wait for is shared with everybody.

Circulars that are handed over together would leave within a second and keep the broker, and every adapter, busy for as
long as it takes; an urgent letter would stand in each of those lines. So what goes to many recipients is due at a pace,
from the first on: a circular to 51 has left within a second, and a hundred of them leave no faster than one.

A paced transmission waits in the outbox like any other; whatever else goes to the same recipient overtakes it.
"""

import math

from broker.clock import Clock

MOST_UNPACED = 10
"""Recipients of a letter that is no circular, whatever its type."""

PER_SECOND = 60
"""Transmissions of circulars that become due in a second."""

SLOT_MS = 20
"""What becomes due within so many milliseconds becomes due together."""


class Pace:
    """When transmissions of circulars are due; of one agency, in one process. Not remembered across starts.

    Args:
        clock: its monotonic time keeps the pace: a wall clock that is set back keeps nothing waiting.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._next = -math.inf  # seconds: when the next is due

    def due(self, recipients: int) -> list[int]:
        """When a letter that is accepted now is due to each of its ``recipients``, in Unix milliseconds."""
        now, unix = self._clock.monotonic(), self._clock.unix_ms()
        if recipients <= MOST_UNPACED:
            return [unix] * recipients
        first = max(self._next, now)
        self._next = first + recipients / PER_SECOND
        waits = [first + each / PER_SECOND - now for each in range(recipients)]
        return [_slot(unix + math.ceil(wait * 1000)) if wait else unix for wait in waits]


def _slot(at: int) -> int:
    return -(-at // SLOT_MS) * SLOT_MS
