"""Bringing a store's schema up to date with Alembic. Imported only when there is something to do."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

from schemas.errors import ErrorCode, Refused

_SCRIPTS = Path(__file__).parent / "migrations"


def scripts() -> ScriptDirectory:
    """The migrations of this release."""
    return ScriptDirectory.from_config(_config())


def migrate(engine: Engine, revision: str | None) -> None:
    """Upgrade the store behind ``engine`` from ``revision`` (None: empty) to the newest schema.

    Raises:
        Refused: ``store_newer`` when ``revision`` is unknown to this release.
    """
    known = {script.revision for script in scripts().walk_revisions()}
    if revision is not None and revision not in known:
        raise Refused(ErrorCode.STORE_NEWER, revision=revision)
    config = _config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    return config
