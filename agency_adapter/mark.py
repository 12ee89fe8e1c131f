"""A mark beside the store, by which a store restored from an old copy is recognised.

Whoever restores yesterday's copy of a store and lets it number letters again gives two letters one number. So the
adapter keeps, in a small file *outside* the store, how far the store had come (:class:`Progress`) and up to which
number each year's series is reserved. Numbers are reserved in blocks, flushed to the disk before the first of a block
is used; the counts follow within a second.

At the start a store that is behind its mark has been restored: it gets a new *epoch*, and its numbers go on above
the reserved block. The numbers in between are a gap, which is listed.

Not recognised: a copy made less than a second before a crash and restored after it, or a copy that brings its own
mark along. `docs/limits.md` says so.
"""

import errno
import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from schemas.errors import ErrorCode, Refused

BLOCK = 256
"""Numbers reserved at once: one flush for so many letters."""

_SERIES = re.compile("(outgoing|incoming):[0-9]{4}")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a store has come: the highest row of each table in which every use of a number leaves one.

    A registration changes the row of its letter, and no table but that of the issued receipts grows.
    """

    letters: int = 0
    arrivals: int = 0
    receipts: int = 0

    def behind(self, other: "Progress") -> bool:
        """Whether something that was there at ``other`` is missing here."""
        return self.letters < other.letters or self.arrivals < other.arrivals or self.receipts < other.receipts


@dataclass(slots=True)
class Mark:
    """The mark of one store. Not thread-safe: the adapter's loop owns it.

    ``reserved`` has the highest reserved number by ``direction:year``.
    """

    path: Path
    store_id: str
    epoch: int = 1
    progress: Progress = Progress()
    reserved: dict[str, int] = field(default_factory=dict)
    _saved: str = ""

    @classmethod
    def read(cls, path: Path, store_id: str) -> "Mark | None":
        """The mark at ``path``, or None if there is none.

        Raises:
            Refused: ``mark_invalid`` if it cannot be read, or belongs to another store: an operator must look.
        """
        if not path.exists():
            return None
        try:
            values = json.loads(path.read_text("utf-8"))
            mark = cls(
                path,
                str(values["store_id"]),
                int(values["epoch"]),
                Progress(int(values["letters"]), int(values["arrivals"]), int(values["receipts"])),
                {_series(name): int(number) for name, number in values["reserved"].items()},
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise Refused(ErrorCode.MARK_INVALID, path=str(path)) from error
        if mark.store_id != store_id:
            raise Refused(ErrorCode.MARK_INVALID, path=str(path))
        return mark

    def reserve(self, direction: str, year: int, number: int) -> None:
        """Make sure that ``number`` of ``year`` is covered by the mark on the disk before it is used.

        Raises:
            Refused: what :meth:`save` raises; nothing is reserved then.
        """
        key = f"{direction}:{year}"
        before = self.reserved.get(key, 0)
        if number > before:
            self.reserved[key] = number + BLOCK
            try:
                self.save(flush=True)
            except Refused:
                self.reserved[key] = before
                raise

    def reserved_up_to(self, direction: str, year: int) -> int:
        return self.reserved.get(f"{direction}:{year}", 0)

    def save(self, *, flush: bool) -> None:
        """Replace the file, whole whatever happens; with ``flush``, this returns when a power cut cannot undo it.

        Raises:
            Refused: ``storage_full`` or ``store_unavailable``; the file is the old one then.
        """
        content = json.dumps(
            {
                "store_id": self.store_id,
                "epoch": self.epoch,
                "letters": self.progress.letters,
                "arrivals": self.progress.arrivals,
                "receipts": self.progress.receipts,
                "reserved": self.reserved,
            }
        )
        if content == self._saved:
            return
        try:
            self._replace(content, flush=flush)
        except OSError as error:
            full = error.errno in {errno.ENOSPC, errno.EDQUOT}
            raise Refused(ErrorCode.STORAGE_FULL if full else ErrorCode.STORE_UNAVAILABLE) from error
        self._saved = content

    def _replace(self, content: str, *, flush: bool) -> None:
        fresh = self.path.with_suffix(".mark-new")
        with os.fdopen(os.open(fresh, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as file:
            file.write(content)
            file.flush()
            # Always: a name that a power cut leaves on an empty file would keep the adapter from starting.
            os.fsync(file.fileno())
        fresh.replace(self.path)
        if flush:
            folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


def _series(name: str) -> str:
    """``name`` as it is, if a series can be called so.

    Raises:
        ValueError: it cannot.
    """
    if not _SERIES.fullmatch(name):
        raise ValueError(name)
    return name
