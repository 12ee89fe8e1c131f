"""Bringing a store's schema up to date with Alembic. Heavy; imported only when there is something to do."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

from schemas.errors import ErrorCode, Refused


def scripts(folder: Path) -> ScriptDirectory:
    """The migrations in ``folder``."""
    return ScriptDirectory.from_config(_config(folder))


def upgrade(engine: Engine, folder: Path, revision: str | None) -> None:
    """Upgrade the store behind ``engine`` by the migrations in ``folder``, in one transaction.

    Args:
        engine: of the store.
        folder: with ``env.py`` and ``versions/``.
        revision: the store's now; None for an empty one.

    Raises:
        Refused: ``store_newer`` when this release does not know ``revision``.
    """
    known = {script.revision for script in scripts(folder).walk_revisions()}
    if revision is not None and revision not in known:
        raise Refused(ErrorCode.STORE_NEWER, revision=revision)
    config = _config(folder)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _config(folder: Path) -> Config:
    config = Config()
    config.set_main_option("script_location", str(folder))
    return config
