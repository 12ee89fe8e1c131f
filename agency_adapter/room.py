"""How much room the store's disk has left.

Acceptance stops while there is still some: what was accepted before will be answered with receipts, and those, and
the letters of others, must find room when no new letter does any more.
"""

import shutil
from pathlib import Path

from schemas.errors import ErrorCode, Refused

LEAST_FREE_BYTES = 64 * 1024 * 1024


class Room:
    """The disk under ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def free(self) -> int:
        """Bytes that the adapter may still write."""
        return shutil.disk_usage(self._folder).free

    def require(self) -> None:
        """Refuse a new letter when only the reserve is left.

        Raises:
            Refused: ``storage_full``.
        """
        if self.free() < LEAST_FREE_BYTES:
            raise Refused(ErrorCode.STORAGE_FULL)
