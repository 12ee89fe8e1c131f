"""Bringing an agency's store up to date. Imported only when there is something to do."""

from pathlib import Path

from alembic.script import ScriptDirectory
from sqlalchemy import Engine

from broker import migrating

_SCRIPTS = Path(__file__).parent / "migrations"


def scripts() -> ScriptDirectory:
    """The migrations of this release."""
    return migrating.scripts(_SCRIPTS)


def migrate(engine: Engine, revision: str | None) -> None:
    """Upgrade from ``revision`` (None: empty) to the newest schema; see :func:`broker.migrating.upgrade`."""
    migrating.upgrade(engine, _SCRIPTS, revision)
