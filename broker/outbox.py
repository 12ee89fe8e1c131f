"""The outbox: rows that wait to be published, in whatever table they live.

Letters, receipts and dead letters each have a table of their own; what they share is the columns made by
:func:`outbox_columns` and the life of a row:

    pending ──claim──> claimed ──confirmed──> confirmed
       ^                  │                       │
       └──── released ────┘                       │
       └──────────── due again (until the end) ───┘

A claim is a lease on the store's clock. Whoever finds a lease that has run out may claim the row again: publishing
twice is harmless (the recipient knows a letter by its digest), forgetting is not.

Invariants: only a confirm moves a row to *confirmed*; only its owner's terminal state (a stored terminal receipt)
takes a row out of the circle for good (*closed*).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    Select,
    Table,
    Text,
    bindparam,
    func,
    select,
    text,
    update,
)

from broker.kill_points import KillPoint
from broker.publishing import Outgoing

PENDING, CLAIMED, CONFIRMED, CLOSED = range(4)
"""Values of ``relay_state``. Numbers, since every claim compares them."""


def outbox_columns() -> tuple[Column[Any], ...]:
    """Fresh columns that make a table an outbox.

    ``lane`` is the routing key, ``due_at`` and ``lease_until`` are Unix milliseconds, ``attempts`` counts publishes.
    """
    # Milliseconds need more than the 32 bits of PostgreSQL's INTEGER; SQLite has one kind.
    moment = BigInteger().with_variant(Integer(), "sqlite")
    return (
        Column("lane", Text, nullable=False),
        Column("relay_state", Integer, nullable=False),
        Column("due_at", moment, nullable=False),
        Column("lease_until", moment, nullable=False, server_default=text("0")),
        Column("attempts", Integer, nullable=False, server_default=text("0")),
        Column("confirmed_at", moment),
    )


def outbox_index(table: str) -> Index:
    """The index that claims walk; partial, so that a store full of finished letters costs nothing."""
    waiting = text("relay_state = 0")
    return Index(f"{table}_waiting", "lane", "due_at", sqlite_where=waiting, postgresql_where=waiting)


def claimed_index(table: str) -> Index:
    """The index by which leases that ran out are found, each second; partial, as :func:`outbox_index`."""
    claimed = text("relay_state = 1")
    return Index(f"{table}_claimed", "lease_until", sqlite_where=claimed, postgresql_where=claimed)


@dataclass(frozen=True, slots=True)
class LaneDepth:
    """What waits on one lane of one outbox."""

    lane: str
    waiting: int
    oldest: int


class OutboxSource(Protocol):
    """One table of things to publish, as the relay sees it."""

    @property
    def name(self) -> str: ...

    @property
    def most_per_message(self) -> int:
        """Rows that may travel in one AMQP message: 1 for letters."""
        ...

    @property
    def claimed_point(self) -> KillPoint | None: ...

    @property
    def published_point(self) -> KillPoint | None: ...

    @property
    def confirmed_point(self) -> KillPoint | None: ...

    @property
    def table(self) -> Table: ...

    def load(self, connection: Connection, keys: Sequence[int]) -> list[Outgoing]:
        """The messages that carry the rows ``keys``, in their order."""
        ...

    def confirm(self, connection: Connection, keys: Sequence[int], now: int) -> None:
        """The broker and the journal have the rows ``keys``; usually :func:`confirm`."""
        ...


def waiting_lanes(connection: Connection, table: Table, now: int) -> list[str]:
    """Lanes with at least one row due, by hopping over the index: cost grows with lanes, not with rows."""
    return [
        lane
        for lane in _lanes(connection, table)
        if connection.execute(
            select(table.c.seq)
            .where(table.c.relay_state == text("0"), table.c.lane == lane, table.c.due_at <= now)
            .limit(1)
        ).scalar()
        is not None
    ]


def next_due(connection: Connection, table: Table, now: int) -> int | None:
    """When the next row that is not yet due becomes due, in Unix milliseconds; hops like :func:`waiting_lanes`."""
    dues: list[int] = []
    for lane in _lanes(connection, table):
        due = connection.execute(
            select(table.c.due_at)
            .where(table.c.relay_state == text("0"), table.c.lane == lane, table.c.due_at > now)
            .order_by(table.c.due_at)
            .limit(1)
        ).scalar()
        if due is not None:
            dues.append(due)
    return min(dues, default=None)


def _lanes(connection: Connection, table: Table) -> Iterator[str]:
    """Every lane with a waiting row, due or not."""
    statement: Select[Any] = (
        select(table.c.lane)
        .where(table.c.relay_state == text("0"), table.c.lane > bindparam("after"))
        .order_by(table.c.lane)
        .limit(1)
    )
    after = ""
    while (lane := connection.execute(statement, {"after": after}).scalar()) is not None:
        after = lane
        yield lane


def claim(connection: Connection, table: Table, lane: str, *, most: int, now: int, lease_until: int) -> list[int]:
    """Lease up to ``most`` due rows of ``lane``, oldest first; returns their keys."""
    keys = [
        row[0]
        for row in connection.execute(
            select(table.c.seq)
            .where(table.c.relay_state == text("0"), table.c.lane == lane, table.c.due_at <= now)
            .order_by(table.c.due_at, table.c.seq)
            .limit(most)
        )
    ]
    if keys:
        connection.execute(
            _by_key(table).values(relay_state=CLAIMED, lease_until=lease_until, attempts=table.c.attempts + 1),
            [{"key": key} for key in keys],
        )
    return keys


def confirm(connection: Connection, table: Table, keys: Sequence[int], *, now: int) -> None:
    """The broker and the journal have them. A row closed meanwhile by a receipt stays closed."""
    connection.execute(
        _by_key(table).where(table.c.relay_state == CLAIMED).values(relay_state=CONFIRMED, confirmed_at=now),
        [{"key": key} for key in keys],
    )


def release(connection: Connection, table: Table, keys: Sequence[int], *, due_at: int | None = None) -> None:
    """Back to waiting: the publish was refused or lost. Without ``due_at`` at their old place in the lane."""
    values = {"relay_state": PENDING} | ({} if due_at is None else {"due_at": due_at})
    connection.execute(
        _by_key(table).where(table.c.relay_state == CLAIMED).values(values), [{"key": key} for key in keys]
    )


def unclaim(connection: Connection, table: Table, keys: Sequence[int]) -> None:
    """Back to waiting as if they had not been claimed: they were not tried."""
    connection.execute(
        _by_key(table)
        .where(table.c.relay_state == CLAIMED)
        .values(relay_state=PENDING, lease_until=0, attempts=table.c.attempts - 1),
        [{"key": key} for key in keys],
    )


def release_all(connection: Connection, table: Table) -> int:
    """Return every claimed row, for the start of a process that owns the store alone; returns how many."""
    return connection.execute(
        update(table).where(table.c.relay_state == text("1")).values(relay_state=PENDING, lease_until=0)
    ).rowcount


def release_expired(connection: Connection, table: Table, *, now: int) -> int:
    """Return rows whose lease ran out (their publisher never said what became of them).

    Reads the whole table: not for what is done often, nor where the rows are many and large.
    """
    return connection.execute(
        update(table)
        .where(table.c.relay_state == text("1"), table.c.lease_until < now)
        .values(relay_state=PENDING, lease_until=0)
    ).rowcount


def depths(connection: Connection, table: Table) -> list[LaneDepth]:
    """Waiting rows and the oldest due time for each lane, for metrics and listings."""
    rows = connection.execute(
        select(table.c.lane, func.count(), func.min(table.c.due_at))
        .where(table.c.relay_state == text("0"))
        .group_by(table.c.lane)
    )
    return [LaneDepth(lane, waiting, oldest) for lane, waiting, oldest in rows]


def _by_key(table: Table) -> Any:
    return update(table).where(table.c.seq == bindparam("key"))
