"""The one source of time of a process.

Everything that asks for the time asks a :class:`Clock`, so that a test bed can run an adapter tomorrow, an hour
off, or past the expiry of a key, without touching the machine's clock.
"""

import os
import time
from datetime import UTC, datetime, timedelta


class Clock:
    """Wall and monotonic time.

    Attributes:
        offset: seconds added to the machine's wall clock. Zero in production; a test bed sets it through the
            environment variable ``TARASUL_CLOCK_OFFSET`` or on the object.
    """

    def __init__(self, offset: float | None = None) -> None:
        self.offset = float(os.environ.get("TARASUL_CLOCK_OFFSET", "0")) if offset is None else offset

    def unix(self) -> float:
        """Seconds since 1970-01-01T00:00Z."""
        return time.time() + self.offset

    def unix_ms(self) -> int:
        """Milliseconds since 1970-01-01T00:00Z."""
        return int(self.unix() * 1000)

    def now(self) -> datetime:
        """The current instant, aware, in UTC."""
        return datetime.now(UTC) + timedelta(seconds=self.offset)

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back and is not shifted: for durations and time limits."""
        return time.monotonic()
