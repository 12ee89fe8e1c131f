"""Opening the authority's store: a SQLite file, or a PostgreSQL database."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, inspect
from sqlalchemy.exc import SQLAlchemyError

from broker.sqlite import open_for_reading, open_store
from schemas.errors import ErrorCode, Refused

HEAD = "0005"
"""The newest schema revision; a test compares it with the migrations."""

POSTGRESQL = "postgresql://"
LONGEST_MIGRATION_MS = 30_000
SESSION = "-c lock_timeout=2s -c idle_in_transaction_session_timeout=5s"
"""Of a holder that was stopped within a transaction the server takes the locks back before its lease is over, and
nobody waits long for one: statements run on the loop."""
READ_ONLY = "-c default_transaction_read_only=on"
NETWORK = {
    "connect_timeout": 5,
    "tcp_user_timeout": 6_000,
    "keepalives_idle": 3,
    "keepalives_interval": 1,
    "keepalives_count": 3,
}
"""A server that the network has cut off is given up within six seconds; the kernel alone would take a quarter of an
hour, in which the loop stands still."""


@dataclass(frozen=True, slots=True)
class GatewayStore:
    """An open store.

    Attributes:
        engine: for the writer, and for nobody else: on SQLite its transactions lock the file from their beginning.
        readings: for everything that only looks.
    """

    engine: Engine
    readings: Engine

    def close(self) -> None:
        self.readings.dispose()
        self.engine.dispose()


def open_gateway_store(place: str, base: Path) -> GatewayStore:
    """The store, made or brought up to date as needed. Several processes may have it open.

    Args:
        place: a path, or ``postgresql://USER@HOST/DATABASE`` (the password comes from libpq: a password file, or the
            environment).
        base: what a relative path is relative to.

    Raises:
        Refused: ``store_unavailable``, ``store_newer``.
    """
    remote = place.startswith(POSTGRESQL)
    try:
        # Another process may be making the tables just now: that is waited for, here and never again.
        _bring_up_to_date(_postgresql(place) if remote else open_store(base / place, busy_ms=LONGEST_MIGRATION_MS))
        engine = _postgresql(place) if remote else open_store(base / place)
    except (SQLAlchemyError, OSError, ImportError) as error:
        # Without the driver there is no such store either: it comes with the extra `postgres`.
        raise Refused(ErrorCode.STORE_UNAVAILABLE) from error
    return GatewayStore(engine, engine if remote else open_for_reading(base / place))


@contextlib.contextmanager
def reading(place: str, base: Path) -> Iterator[Connection]:
    """A connection that only looks, beside whatever processes write; nothing is made, and nothing brought up to date.

    Args:
        place: as for :func:`open_gateway_store`.
        base: as well.

    Raises:
        Refused: ``store_missing``, ``store_older``, ``store_newer``, ``store_unavailable``.
    """
    remote = place.startswith(POSTGRESQL)
    if not remote and not (base / place).exists():
        raise Refused(ErrorCode.STORE_MISSING, path=str(base / place))
    try:
        engine = _postgresql(place, READ_ONLY) if remote else open_for_reading(base / place)
        try:
            with engine.connect() as connection:
                revision = _revision(connection)
                if revision is None:
                    raise Refused(ErrorCode.STORE_MISSING, path=place if remote else str(base / place))
                if revision != HEAD:
                    from gateway.store.migrating import refuse  # noqa: PLC0415 - heavy, rarely needed

                    refuse(revision)
                yield connection
        finally:
            engine.dispose()
    except (SQLAlchemyError, OSError, ImportError) as error:
        raise Refused(ErrorCode.STORE_UNAVAILABLE) from error


def _bring_up_to_date(engine: Engine) -> None:
    try:
        with engine.connect() as connection:
            revision = _revision(connection)
        if revision != HEAD:
            from gateway.store.migrating import migrate  # noqa: PLC0415 - heavy, rarely needed

            migrate(engine, revision)
    finally:
        engine.dispose()


def _postgresql(place: str, *more: str) -> Engine:
    return create_engine(
        place.replace(POSTGRESQL, "postgresql+psycopg://", 1),
        pool_size=3,  # one connection writes, one reads; a third for a look from outside
        pool_pre_ping=True,
        connect_args={"options": " ".join((SESSION, *more)), **NETWORK},
    )


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return revision
