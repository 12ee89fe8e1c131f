"""Bringing the authority's store up to date. Imported only when there is something to do."""

from pathlib import Path

from sqlalchemy import Engine

from broker.migrating import upgrade

_SCRIPTS = Path(__file__).parent / "migrations"


def migrate(engine: Engine, revision: str | None) -> None:
    """Upgrade from ``revision`` (None: empty) to the newest schema; see :func:`broker.migrating.upgrade`."""
    upgrade(engine, _SCRIPTS, revision)
