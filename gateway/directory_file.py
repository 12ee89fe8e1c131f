"""The directory as the authority's own programs read it: from its file, verified, and again when it changes."""

from collections.abc import Sequence
from pathlib import Path

import structlog
from cryptography import x509

from broker.clock import Clock
from schemas.errors import ErrorCode, Refused
from trust.directory import Directory, read_directory_file

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
        self.current = self._open()
        self.problem: Refused | None = None

    def refresh(self) -> bool:
        """Read the file again if it has changed; True if a newer version took effect.

        A file that cannot be used leaves the present directory in force and is remembered in ``problem``.
        """
        try:
            stamp = self._stamp()
            if stamp == self._seen:
                self.problem = None
                return False
            directory = self._open(self.current)
        except Refused as refusal:
            if self.problem is None or refusal.code is not self.problem.code:
                _log.error("directory_refused", code=refusal.code)
            self.problem = refusal
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

    def _open(self, before: Directory | None = None) -> Directory:
        raw, now = read_directory_file(self._file), self._clock.now()
        if before is None:
            return Directory.open(raw, self._anchors, now)
        return Directory.open(raw, self._anchors, now, newer_than=before.version, newest_digest=before.digest)
