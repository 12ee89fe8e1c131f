"""A small disk of its own for an adapter's store, which a test fills and frees."""

import contextlib
import os
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.adapters import Bed

MIB = 1024 * 1024
SIZE = 128 * MIB


def _as_root(*command: str) -> None:
    prefix = [] if os.geteuid() == 0 else ["sudo", "-n"]
    subprocess.run([*prefix, *command], check=True, stdin=subprocess.DEVNULL, capture_output=True)


class SmallDisk:
    """A tmpfs. Mounting it needs root (or ``sudo`` without a password); without it the test fails, as it must."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._ballast = place / "ballast"

    def __enter__(self) -> Self:
        self.place.mkdir()
        _as_root("mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=0777", "tarasul-test", str(self.place))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _as_root("umount", "--lazy", str(self.place))
        self.place.rmdir()

    def store(self, bed: Bed, code: str) -> Path:
        """Where the store of ``code`` is to live; the books find it by a link."""
        store = self.place / "store.db"
        (bed.agency(code) / "store.db").symlink_to(store)
        return store

    def fill(self, left: int = 0) -> None:
        """Leave so many bytes free, whatever an adapter writes meanwhile."""
        size = 0
        with self._ballast.open("wb") as file:
            while (room := shutil.disk_usage(self.place).free - left) > 0:
                # The adapter may have been quicker: then there is less room, and we look again.
                with contextlib.suppress(OSError):
                    os.posix_fallocate(file.fileno(), size, room)
                    size += room

    def free(self) -> None:
        self._ballast.unlink()
