"""SQLite as a store that survives a power cut: write-ahead log, a flush at every commit, one owner."""

import fcntl
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Engine, create_engine, event

from schemas.errors import ErrorCode, Refused

_SETTINGS = (
    "PRAGMA journal_mode = WAL",
    # FULL flushes the log at every commit. NORMAL would lose the last commits at a power cut, after the
    # broker was told that they are safe.
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA wal_autocheckpoint = 2000",
    "PRAGMA journal_size_limit = 67108864",
    "PRAGMA cache_size = -8192",
    "PRAGMA temp_store = MEMORY",
)


def open_store(path: Path, *, busy_ms: int = 1000) -> Engine:
    """An engine on the store at ``path``; creates the file with mode 0600 if there is none.

    Args:
        path: of the file.
        busy_ms: how long to wait, in milliseconds, for another process that writes.
    """
    if not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    url = URL.create("sqlite", database=str(path))
    return _engine(url, (f"PRAGMA busy_timeout = {busy_ms}", *_SETTINGS), begin="BEGIN IMMEDIATE")


def open_for_reading(path: Path) -> Engine:
    """An engine that cannot change the store, for listings and for readers beside a running adapter."""
    url = URL.create("sqlite", database=f"file:{quote(str(path))}", query={"mode": "ro", "uri": "true"})
    return _engine(url, ("PRAGMA query_only = ON", "PRAGMA busy_timeout = 1000"), begin="BEGIN")


def _engine(url: URL, settings: tuple[str, ...], *, begin: str) -> Engine:
    engine = create_engine(url, connect_args={"check_same_thread": False})

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: object) -> None:
        # The driver's own BEGIN comes too late (before the first write only): reads that decide a write would
        # stand outside the transaction. It is switched off, and begun below.
        connection.isolation_level = None
        cursor = connection.cursor()
        for setting in settings:
            cursor.execute(setting)
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql(begin)

    return engine


class StoreLock:
    """Makes sure that one process at a time owns a store.

    The lock is the kernel's (``flock``): it goes with the process, however that ends.

    Raises:
        Refused: ``store_locked`` when another process holds it.
    """

    def __init__(self, store: Path) -> None:
        self._file = os.open(store.with_suffix(".lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            raise Refused(ErrorCode.STORE_LOCKED, path=str(store)) from None

    def release(self) -> None:
        os.close(self._file)
