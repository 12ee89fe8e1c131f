"""Opening the authority's store: a SQLite file, or a PostgreSQL database."""

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, inspect
from sqlalchemy.exc import SQLAlchemyError

from broker.sqlite import open_for_reading, open_store
from schemas.errors import ErrorCode, Refused

HEAD = "0001"
"""The newest schema revision; a test compares it with the migrations."""

POSTGRESQL = "postgresql://"


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
    try:
        if place.startswith(POSTGRESQL):
            # One connection writes, one reads; a third for a look from outside.
            engine = create_engine(place.replace(POSTGRESQL, "postgresql+psycopg://", 1), pool_size=3)
        else:
            engine = open_store(base / place)
        with engine.connect() as connection:
            revision = _revision(connection)
        if revision != HEAD:
            from gateway.store.migrating import migrate  # noqa: PLC0415 - heavy, rarely needed

            migrate(engine, revision)
    except (SQLAlchemyError, OSError) as error:
        raise Refused(ErrorCode.STORE_UNAVAILABLE) from error
    return GatewayStore(engine, engine if place.startswith(POSTGRESQL) else open_for_reading(base / place))


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return revision
