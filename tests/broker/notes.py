"""A small outbox on SQLite for tests of the relay: notes to be published, one a message or several."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Column, Connection, Engine, Integer, MetaData, Table, insert, select

from broker import outbox
from broker.kill_points import KillPoint
from broker.publishing import Outgoing
from broker.sqlite import open_for_reading, open_store

metadata = MetaData()
notes = Table(
    "notes",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("size", Integer, nullable=False),
    *outbox.outbox_columns(),
    outbox.outbox_index("notes"),
    outbox.claimed_index("notes"),
)


class Notes:
    """The outbox; see :class:`broker.outbox.OutboxSource`."""

    name = "notes"
    claimed_point: KillPoint | None = None
    published_point: KillPoint | None = None
    confirmed_point: KillPoint | None = None
    table = notes

    def __init__(self, most_per_message: int = 1) -> None:
        self.most_per_message = most_per_message

    def load(self, connection: Connection, keys: Sequence[int]) -> list[Outgoing]:
        rows = connection.execute(
            select(notes.c.seq, notes.c.lane, notes.c.size).where(notes.c.seq.in_(keys)).order_by(notes.c.seq)
        ).all()
        parts = [rows[at : at + self.most_per_message] for at in range(0, len(rows), self.most_per_message)]
        return [
            Outgoing(
                tuple(row.seq for row in part),
                part[0].lane,
                b"\n".join(f"{row.seq} ".encode().ljust(row.size, b"x") for row in part),
                "text/plain",
            )
            for part in parts
        ]

    def confirm(self, connection: Connection, keys: Sequence[int], now: int) -> None:
        outbox.confirm(connection, notes, keys, now=now)


class NoteStore:
    """The file with the notes."""

    def __init__(self, folder: Path) -> None:
        self.engine: Engine = open_store(folder / "notes.db")
        self.readings: Engine = open_for_reading(folder / "notes.db")
        with self.engine.begin() as connection:
            metadata.create_all(connection)

    def add(self, keys: Sequence[int], *, lane: str = "MOF.routine", due_at: int = 0, size: int = 100) -> None:
        with self.engine.begin() as connection:
            connection.execute(
                insert(notes),
                [
                    {"seq": key, "size": size, "lane": lane, "relay_state": outbox.PENDING, "due_at": due_at}
                    for key in keys
                ],
            )

    def states(self) -> dict[int, int]:
        with self.readings.connect() as connection:
            return {row.seq: row.relay_state for row in connection.execute(select(notes))}

    def count(self, state: int) -> int:
        return list(self.states().values()).count(state)

    def attempts(self) -> dict[int, int]:
        with self.readings.connect() as connection:
            return {row.seq: row.attempts for row in connection.execute(select(notes))}

    @contextmanager
    def changing(self) -> Iterator[Connection]:
        with self.engine.begin() as connection:
            yield connection

    def close(self) -> None:
        self.engine.dispose()
        self.readings.dispose()
