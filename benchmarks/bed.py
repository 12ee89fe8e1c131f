"""The bed of the measurements: the demonstration's stage, with certificates for the bare clients as well.

Both sides run on the same node, with the same certificates' strength and the same kind of queues.
"""

import asyncio
import contextlib
import os
import sqlite3
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

import bare
from host import resident_mb

from broker.names import JOURNAL
from broker.node import PrivateNode
from broker.stream_end import stream_end
from broker.topology import LOG_USER
from deploy.demo.stage import Stage
from gateway.settings import read_authority_settings
from schemas.directory import KeyPurpose
from schemas.identifiers import AUTHORITY
from trust.certificates import IssuingAuthority, write_certificates
from trust.keys import generate_key

BARE_USERS = ("alpha", "omega")
LOOK_SECONDS = 0.01
QUIET_SECONDS = 60


class Bed:
    """One node, the folders of the agencies ``codes``, and the bare clients' certificates."""

    def __init__(self, folder: Path, codes: Sequence[str]) -> None:
        self.stage = Stage(folder / "stage", codes)

    @property
    def node(self) -> PrivateNode:
        return self.stage.node

    @property
    def bare_tls(self) -> Path:
        """Folder of ``root.pem`` and, for each bare client, certificate and key."""
        return self.stage.folder / "bare"

    def __enter__(self) -> Self:
        self.stage.__enter__()
        authority = self.stage.folder / "authority"
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
        self.stage.__exit__(kind, error, trace)

    def configs(self, *codes: str) -> list[Path]:
        return [self.stage.config(code) for code in codes]

    @contextlib.contextmanager
    def adapters(self, *codes: str) -> Iterator[int]:
        """``tarasul agency run`` for ``codes``, ready; yields its process id."""
        self.stage.start(codes)
        try:
            yield self.stage.pid(codes[0])
        finally:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.stage.stop(codes[0])

    def idle_mb(self, *codes: str) -> float:
        """VmRSS of ``tarasul agency run`` for ``codes`` after a minute of quiet."""
        with self.adapters(*codes) as pid:
            time.sleep(QUIET_SECONDS)
            return resident_mb(pid)

    @contextlib.contextmanager
    def authority(self, *, cores: set[int] | None = None) -> Iterator["Recorder"]:
        """``tarasul authority run``, begun, on ``cores`` alone when they are given."""
        self.stage.begin_authority()
        pid = self.stage.pid(AUTHORITY)
        if cores is not None:
            os.sched_setaffinity(pid, cores)
        try:
            yield Recorder(self.stage.authority, pid)
        finally:
            self.stage.stop(AUTHORITY)


class Recorder:
    """The authority's readers as they run: how far the journal has been recorded."""

    def __init__(self, settings_file: Path, pid: int) -> None:
        settings = read_authority_settings(settings_file)
        self._address = settings.address(LOG_USER)
        self._store = settings.path(Path(settings.store))
        self._pid = pid

    @property
    def cpu(self) -> float:
        """Seconds of CPU that it has used."""
        return bare.cpu_of(self._pid)

    def recorded_at(self) -> float:
        """Wait until all that the journal stream holds now is in the store; returns since when (``perf_counter``).

        The broker says where a stream ends only after a second of silence, so the store is watched meanwhile.
        """
        with ThreadPoolExecutor(1) as beside:
            asked = beside.submit(asyncio.run, stream_end(self._address, JOURNAL))
            reached = [(self.offset(), time.perf_counter())]
            while not asked.done() or reached[-1][0] < (asked.result() or 0):
                time.sleep(LOOK_SECONDS)
                if (offset := self.offset()) > reached[-1][0]:
                    reached.append((offset, time.perf_counter()))
            end = asked.result() or 0
        return next(instant for offset, instant in reached if offset >= end)

    def first_after(self, offset: int) -> float:
        """Wait until a message after ``offset`` has been recorded; returns since when (``perf_counter``)."""
        while self.offset() <= offset:
            time.sleep(LOOK_SECONDS)
        return time.perf_counter()

    def offset(self) -> int:
        """Of the newest message recorded; -1 before the first."""
        if not self._store.exists():
            return -1
        connection = sqlite3.connect(f"file:{self._store}?mode=ro", uri=True)
        try:
            row = connection.execute(
                "SELECT stream_offset FROM journal_position ORDER BY incarnation DESC LIMIT 1"
            ).fetchone()
        except sqlite3.OperationalError:
            return -1  # the first migration has not been committed yet
        finally:
            connection.close()
        return -1 if row is None or row[0] is None else int(row[0])
