"""Places in the journal: how far a work that follows it has come, kept in the store beside what the work writes.

A place is incarnation and offset of a message, and for who takes single tokens the position in it. None lies before
the first message.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, insert, select, update

from gateway.store.tables import meta

Place = tuple[int, ...]


def place_of(connection: Connection, work: str, numbers: int) -> Place:
    """Where ``work`` stands, ``numbers`` long; before the first message when it has not begun."""
    kept = connection.execute(select(meta.c.value).where(meta.c.name == work)).scalar()
    return (0,) * numbers if kept is None else tuple(map(int, kept.split()))


def move_to(connection: Connection, work: str, place: Sequence[int]) -> None:
    """``work`` has done everything up to ``place``, that included."""
    kept = " ".join(map(str, place))
    if not connection.execute(update(meta).where(meta.c.name == work).values(value=kept)).rowcount:
        connection.execute(insert(meta).values(name=work, value=kept))
