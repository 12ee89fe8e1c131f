"""A PostgreSQL cluster of the tests' own: the real server, on a Unix socket in a temporary folder, and nothing else.

with Postgres() as postgres:
    place = postgres.new_database()        # what a settings file calls the store

The server refuses to run as root; then it runs as the account ``nobody``. Where it is not installed that is an error:
``deploy/setup.sh`` installs it. It outlives nobody: see :mod:`tests.support.postgres_keeper`.
"""

import contextlib
import json
import os
import pwd
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg

from tests.support import postgres_keeper

PROGRAMS = Path("/usr/lib/postgresql")
OWNER = "tarasul"
SETTINGS = {
    "listen_addresses": "''",
    "fsync": "off",  # what is tested is the product, on a machine that is not switched off meanwhile
    "max_connections": "40",
    "shared_buffers": "16MB",
    "logging_collector": "off",
}


def _programs() -> Path:
    found = sorted(PROGRAMS.glob("*/bin"), key=lambda folder: int(folder.parent.name))
    if not found:
        raise FileNotFoundError(f"no PostgreSQL under {PROGRAMS}: run deploy/setup.sh")
    return found[-1]


def postgres_release() -> str:
    """Major release of the server that the tests use, such as ``15``."""
    return _programs().parent.name


class Postgres:
    """See the module's docstring."""

    def __init__(self) -> None:
        self._programs = _programs()
        self._databases = 0

    def __enter__(self) -> Self:
        # Short: the path of a Unix socket has 107 bytes at most.
        self.folder = Path(tempfile.mkdtemp(prefix="tarasul-pg-"))
        user = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
        os.chown(self.folder, user.pw_uid, user.pw_gid)
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._keeper = subprocess.Popen(
                [
                    sys.executable,
                    "-I",
                    "-S",
                    postgres_keeper.__file__,
                    *map(str, (theirs.fileno(), os.getpid(), self.folder, user.pw_uid, user.pw_gid)),
                    self._programs / "pg_ctl",
                ],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        try:
            self._run("initdb", "-D", "data", "-U", OWNER, "-A", "trust", "--no-sync", "--encoding=UTF8", "--locale=C")
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start the server; it takes connections when this returns."""
        options = " ".join(f"-c {name}={value}" for name, value in SETTINGS.items())
        self._run("pg_ctl", "-D", "data", "-w", "-l", "log", "-o", f"{options} -k {self.folder}", "start")

    def stop(self) -> None:
        """Stop the server; every connection is cut."""
        self._run("pg_ctl", "-D", "data", "-w", "-m", "fast", "stop")

    def close(self) -> None:
        """Let the keeper stop the server, if it runs, and leave nothing behind."""
        self._socket.close()
        if self._keeper.wait():
            raise RuntimeError(f"{self.folder} could not be cleared up")

    def new_database(self) -> str:
        """Make an empty database; returns the ``store`` setting for it."""
        self._databases += 1
        name = f"authority_{self._databases}"
        with psycopg.connect(f"{self._url}/postgres?host={self.folder}", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return f"{self._url}/{name}?host={self.folder}"

    def rows(self, place: str, statement: str) -> list[tuple[Any, ...]]:
        """Rows of the database ``place``."""
        with psycopg.connect(place) as connection:
            return connection.execute(statement).fetchall()

    @property
    def _url(self) -> str:
        return f"postgresql://{OWNER}@"

    def _run(self, program: str, *arguments: str) -> None:
        self._socket.sendall(json.dumps([str(self._programs / program), *arguments]).encode() + b"\n")
        answer = self._socket.recv(64)
        if answer != b"0\n":
            logs = [self.folder / name for name in ("output", "log")]
            with contextlib.ExitStack() as stack:
                texts = [stack.enter_context(log.open("r", errors="replace")).read() for log in logs if log.exists()]
            raise RuntimeError(f"{program} failed\n" + "\n".join(texts))
