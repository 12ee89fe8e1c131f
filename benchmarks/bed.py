"""The bed of the measurements: the demonstration's stage, with certificates for the bare clients as well.

Both sides run on the same node, with the same certificates' strength and the same kind of queues.
"""

import contextlib
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from broker.node import PrivateNode
from deploy.demo.stage import Stage
from schemas.directory import KeyPurpose
from trust.certificates import IssuingAuthority, write_certificates
from trust.keys import generate_key

CODES = ("MPW", "MOF", "SAB")
BARE_USERS = ("alpha", "omega")


class Bed:
    """One node, the agencies' folders, and the bare clients' certificates."""

    def __init__(self, folder: Path) -> None:
        self._stage = Stage(folder / "stage", CODES)

    @property
    def node(self) -> PrivateNode:
        return self._stage.node

    @property
    def bare_tls(self) -> Path:
        """Folder of ``root.pem`` and, for each bare client, certificate and key."""
        return self._stage.folder / "bare"

    def __enter__(self) -> Self:
        self._stage.__enter__()
        authority = self._stage.folder / "authority"
        issuing = IssuingAuthority(authority / "issuing")
        self.bare_tls.mkdir()
        (self.bare_tls / "root.pem").write_bytes((authority / "root.pem").read_bytes())
        now = datetime.now(UTC)
        for user in BARE_USERS:
            certificate = issuing.issue_certificate(
                KeyPurpose.TRANSPORT,
                user,
                generate_key(self.bare_tls / f"{user}.key"),
                not_before=now - timedelta(hours=1),
                not_after=now + timedelta(days=1),
            )
            write_certificates(self.bare_tls / f"{user}.pem", [certificate, issuing.certificate])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stage.__exit__(kind, error, trace)

    def agency(self, code: str) -> Path:
        return self._stage.agency(code)

    def config(self, code: str) -> Path:
        return self._stage.config(code)

    @contextlib.contextmanager
    def adapter(self, code: str) -> Iterator[int]:
        """``tarasul agency run`` for ``code``, ready; yields its process id."""
        self._stage.start(code)
        try:
            yield self._stage.pid(code)
        finally:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._stage.stop(code)
