"""The directory as the adapter knows it now.

It is read from a file, and read again when the file changes. A version older than one that was in use before is
refused, and another directory of the same version, also across restarts: number and digest of the newest seen stand
in the store.
"""

from collections.abc import Sequence
from pathlib import Path

import structlog
from cryptography import x509

from broker.clock import Clock
from schemas.envelope import LetterRequest
from schemas.errors import ErrorCode, Refused
from trust.directory import Directory, read_directory_file

SECONDS_BETWEEN_TRIES = 60.0
"""Opening a directory checks hundreds of certificates; one that was refused is not tried at every look."""

_log = structlog.get_logger("directory")


class DirectoryCache:
    """Holds one verified directory.

    Args:
        file: the signed directory.
        anchors: pinned root certificates.
        clock: for its validity.
        newest: highest version used before, from the store.
        newest_digest: of that version; None from a store of a release that did not note it.

    Raises:
        Refused: what :meth:`trust.directory.Directory.open` raises, or ``directory_unreadable``.
    """

    def __init__(
        self,
        file: Path,
        anchors: Sequence[x509.Certificate],
        clock: Clock,
        newest: int | None,
        newest_digest: str | None,
    ) -> None:
        self._file = file
        self._anchors = list(anchors)
        self._clock = clock
        self._newest, self._newest_digest = newest, newest_digest
        self._seen = self._stamp()
        self._directory = self._open()
        self._refused: tuple[int, int, int] | None = None
        self._refused_at = 0.0
        self.problem: Refused | None = None

    @property
    def current(self) -> Directory:
        return self._directory

    def refresh(self) -> bool:
        """Read the file again if it has changed; True if a newer version took effect.

        A file that cannot be used leaves the present directory in force and is remembered in ``problem``. It is opened
        again when it changes, and once a minute: with time some become usable.
        """
        stamp = None
        try:
            stamp = self._stamp()
            if stamp == self._seen:
                self.problem = None
                return False
            if stamp == self._refused and self._clock.monotonic() - self._refused_at < SECONDS_BETWEEN_TRIES:
                return False
            directory = self._open()
        except Refused as refusal:
            self._refuse(stamp, refusal)
            return False
        self._seen = stamp
        self.problem = None
        changed = directory.version != self._directory.version
        self._directory = directory
        if changed:
            _log.info("directory_in_force", version=directory.version)
        return changed

    def _refuse(self, stamp: tuple[int, int, int] | None, refusal: Refused) -> None:
        if self.problem is None or stamp != self._refused or refusal.code is not self.problem.code:
            _log.error("directory_refused", code=refusal.code)
        self._refused, self._refused_at = stamp, self._clock.monotonic()
        self.problem = refusal

    def require_valid(self) -> None:
        """Refuse to judge by a directory that has run out.

        Raises:
            Refused: ``directory_expired``: mail stays at the broker until a newer one is there.
        """
        if self._directory.state(self._clock.now()) == "expired":
            raise Refused(ErrorCode.DIRECTORY_EXPIRED, version=self._directory.version)

    def check_sendable(self, request: LetterRequest, sender: str) -> None:
        """Refuse what is hopeless: it would only come back as a receipt.

        Raises:
            Refused: ``recipient_unknown``, ``recipient_suspended``, ``recipient_closed``, ``type_not_accepted``,
                ``sender_not_allowed`` or ``directory_expired``, with the place in the request.
        """
        directory = self._directory
        self.require_valid()
        me = directory.agency(sender)
        if me is None or me.status != "active":
            raise Refused(ErrorCode.SENDER_NOT_ACTIVE, agency=sender)
        if not me.may_send_type(request.type):
            raise Refused(ErrorCode.SENDER_NOT_ALLOWED, pointer="/type", agency=sender, type=request.type)
        for index, recipient in enumerate(request.recipients):
            pointer = f"/recipients/{index}/agency"
            entry = directory.agency(recipient.agency)
            if entry is None:
                raise Refused(ErrorCode.RECIPIENT_UNKNOWN, pointer=pointer, agency=recipient.agency)
            if entry.status == "suspended":
                raise Refused(ErrorCode.RECIPIENT_SUSPENDED, pointer=pointer, agency=recipient.agency)
            if entry.status != "active":
                raise Refused(ErrorCode.RECIPIENT_CLOSED, pointer=pointer, agency=recipient.agency)
            if not entry.accepts(request.type):
                raise Refused(ErrorCode.TYPE_NOT_ACCEPTED, pointer="/type", agency=recipient.agency, type=request.type)

    def _stamp(self) -> tuple[int, int, int]:
        try:
            status = self._file.stat()
        except OSError as error:
            raise Refused(ErrorCode.DIRECTORY_UNREADABLE, path=str(self._file)) from error
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _open(self) -> Directory:
        raw = read_directory_file(self._file)
        directory = Directory.open(
            raw, self._anchors, self._clock.now(), newer_than=self._newest, newest_digest=self._newest_digest
        )
        self._newest, self._newest_digest = directory.version, directory.digest
        return directory
