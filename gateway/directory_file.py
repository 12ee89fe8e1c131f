"""The directory as the authority's own programs read it: from its file, verified, and again when it changes."""

from collections.abc import Sequence
from pathlib import Path

import structlog
from cryptography import x509

from broker.clock import Clock
from schemas.errors import ErrorCode, Refused
from trust.directory import Directory

_log = structlog.get_logger("directory")


class DirectoryFile:
    """Holds one verified directory.

    Raises:
        Refused: ``directory_unreadable``, or what :meth:`trust.directory.Directory.open` raises.
    """

    def __init__(self, file: Path, anchors: Sequence[x509.Certificate], clock: Clock) -> None:
        self._file = file
        self._anchors = list(anchors)
        self._clock = clock
        self._seen = self._stamp()
        self.current = self._open(None)
        self.problem: Refused | None = None

    def refresh(self) -> bool:
        """Read the file again if it has changed; True if another version took effect."""
        try:
            stamp = self._stamp()
            if stamp == self._seen:
                return False
            directory = self._open(self.current.version)
        except Refused as refusal:
            self.problem = refusal
            _log.error("directory_refused", code=refusal.code)
            return False
        self._seen, self.problem = stamp, None
        changed = directory.version != self.current.version
        self.current = directory
        return changed

    def _stamp(self) -> tuple[int, int, int]:
        try:
            status = self._file.stat()
        except OSError as error:
            raise Refused(ErrorCode.DIRECTORY_UNREADABLE, path=str(self._file)) from error
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _open(self, newer_than: int | None) -> Directory:
        try:
            raw = self._file.read_bytes()
        except OSError as error:
            raise Refused(ErrorCode.DIRECTORY_UNREADABLE, path=str(self._file)) from error
        return Directory.open(raw, self._anchors, self._clock.now(), newer_than=newer_than)
