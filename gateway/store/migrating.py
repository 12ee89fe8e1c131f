"""Bringing the authority's store up to date. Imported only when there is something to do."""

from pathlib import Path
from typing import NoReturn

from sqlalchemy import Engine

from broker.migrating import scripts, upgrade
from schemas.errors import ErrorCode, Refused

_SCRIPTS = Path(__file__).parent / "migrations"


def migrate(engine: Engine, revision: str | None) -> None:
    """Upgrade from ``revision`` (None: empty) to the newest schema; see :func:`broker.migrating.upgrade`."""
    upgrade(engine, _SCRIPTS, revision)


def refuse(revision: str) -> NoReturn:
    """Say why a store of ``revision``, which is not the newest, cannot be read as it is.

    Raises:
        Refused: ``store_older``, or ``store_newer`` when this release does not know ``revision``.
    """
    known = {script.revision for script in scripts(_SCRIPTS).walk_revisions()}
    raise Refused(ErrorCode.STORE_OLDER if revision in known else ErrorCode.STORE_NEWER, revision=revision)
