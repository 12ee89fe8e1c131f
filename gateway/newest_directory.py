"""The newest directory that any process of the authority has had in force: its number and digest, in the store.

Several processes may write it, each from its own copy of the file; what stands there only ever grows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import IntegrityError

from gateway.store.tables import meta

NAME = "directory_newest"
"""In ``meta``."""


@dataclass(frozen=True, slots=True)
class NewestDirectory:
    """One version of the directory, and which of those that might have that number."""

    version: int
    digest: str


def newest_directory(connection: Connection) -> NewestDirectory | None:
    """What stands in the store; None while nothing has been noted."""
    return _parsed(connection.execute(select(meta.c.value).where(meta.c.name == NAME)).scalar())


async def note_directory(connection: Connection, given: Sequence[NewestDirectory]) -> list[NewestDirectory]:
    """Note what is newer than what stands there; returns what stands there then, which may be another's.

    An operation of :class:`broker.writer.Writer`.
    """
    return [_note(connection, each) for each in given]


def _note(connection: Connection, given: NewestDirectory) -> NewestDirectory:
    value = f"{given.version} {given.digest}"
    # Two processes that note at once, each a version of its own: the second one waits for the first one's row.
    noted = _parsed(connection.execute(select(meta.c.value).where(meta.c.name == NAME).with_for_update()).scalar())
    if noted is None:
        try:
            with connection.begin_nested():
                connection.execute(insert(meta).values(name=NAME, value=value))
        except IntegrityError:
            return _note(connection, given)
        return given
    if given.version <= noted.version:
        return noted
    connection.execute(update(meta).where(meta.c.name == NAME).values(value=value))
    return given


def _parsed(value: str | None) -> NewestDirectory | None:
    if value is None:
        return None
    version, digest = value.split()
    return NewestDirectory(int(version), digest)
