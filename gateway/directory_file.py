"""The directory as the authority's own programs read it: from its file, verified, and again when it changes.

A version older than one that was in use before is refused, and another directory of the same version, also across
restarts: number and digest of the newest stand in the authority's store (:mod:`gateway.newest_directory`).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import structlog
from cryptography import x509

from broker.clock import Clock
from gateway.newest_directory import NewestDirectory
from schemas.errors import ErrorCode, Refused
from trust.directory import Directory, read_directory_file

_log = structlog.get_logger("directory")


class DirectoryInForce(Protocol):
    """Whatever knows the directory."""

    @property
    def current(self) -> Directory: ...


class DirectoryFile:
    """Holds one verified directory.

    Args:
        file: the signed directory.
        anchors: pinned root certificates.
        clock: for its validity.
        newest: what the store knows; None when nothing was noted.

    Raises:
        Refused: ``directory_unreadable``, or what :meth:`trust.directory.Directory.open` raises.
    """

    def __init__(
        self, file: Path, anchors: Sequence[x509.Certificate], clock: Clock, newest: NewestDirectory | None
    ) -> None:
        self._file = file
        self._anchors = list(anchors)
        self._clock = clock
        self._newest = newest
        self._seen = self._stamp()
        self.current = self._open(newest)
        self._unusable: Refused | None = None

    @property
    def problem(self) -> Refused | None:
        """Why the file's present state cannot be used, or why the directory in force should not be."""
        return self._unusable or self._overtaken()

    @property
    def in_force(self) -> NewestDirectory:
        """The directory in force, as it is noted."""
        return NewestDirectory(self.current.version, self.current.digest)

    @property
    def is_noted(self) -> bool:
        """Whether the store is known to have the directory in force, or another process's of a later version."""
        return self._newest is not None and self._newest.version >= self.current.version

    def noted(self, newest: NewestDirectory) -> None:
        """What the store has as the newest, after this one was to be noted."""
        self._newest = newest

    def _overtaken(self) -> Refused | None:
        current, newest = self.current, self._newest
        if newest is None or newest.version < current.version or newest.digest == current.digest:
            return None
        if newest.version == current.version:
            return Refused(ErrorCode.DIRECTORY_FORKED, version=current.version)
        return Refused(ErrorCode.DIRECTORY_ROLLED_BACK, version=current.version, newest=newest.version)

    def refresh(self) -> bool:
        """Read the file again if it has changed; True if a newer version took effect.

        A file that cannot be used leaves the present directory in force and is remembered in ``problem``.
        """
        try:
            stamp = self._stamp()
            if stamp == self._seen:
                self._unusable = None
                return False
            directory = self._open(self._newest if self.is_noted else self.in_force)
        except Refused as refusal:
            if self._unusable is None or refusal.code is not self._unusable.code:
                _log.error("directory_refused", code=refusal.code)
            self._unusable = refusal
            return False
        self._seen, self._unusable = stamp, None
        changed = directory.version != self.current.version
        self.current = directory
        return changed

    def _stamp(self) -> tuple[int, int, int]:
        try:
            status = self._file.stat()
        except OSError as error:
            raise Refused(ErrorCode.DIRECTORY_UNREADABLE, path=str(self._file)) from error
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _open(self, against: NewestDirectory | None) -> Directory:
        raw, now = read_directory_file(self._file), self._clock.now()
        if against is None:
            return Directory.open(raw, self._anchors, now)
        return Directory.open(raw, self._anchors, now, newer_than=against.version, newest_digest=against.digest)
