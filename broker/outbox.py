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

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
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
    Update,
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


FEW = 256
"""Waiting rows of a table that are read together, rather than lane by lane."""


@dataclass(frozen=True, slots=True)
class LaneHead:
    """A lane on which something waits.

    Attributes:
        lane: its routing key.
        due_at: when its first row is due, in Unix milliseconds.
        rows: ``(due_at, key)`` of all its waiting rows, the oldest first, when few wait in the whole table.
    """

    lane: str
    due_at: int
    rows: tuple[tuple[int, int], ...] | None = None


def lane_heads(connection: Connection, table: Table) -> list[LaneHead]:
    """Every lane with a waiting row, due or not.

    While few rows wait that is one short read. Otherwise it is one hop over the index for each lane: the cost grows
    with the lanes, not with the rows.
    """
    few = connection.execute(_statements(table).few).all()
    if len(few) > FEW:
        return [LaneHead(lane, due_at) for lane, due_at in connection.execute(_statements(table).heads)]
    by_lane: dict[str, list[tuple[int, int]]] = {}
    for lane, due_at, key in few:
        by_lane.setdefault(lane, []).append((due_at, key))
    return [LaneHead(lane, rows[0][0], tuple(rows)) for lane, rows in by_lane.items()]


def due_keys(connection: Connection, table: Table, head: LaneHead, *, most: int, now: int) -> list[int]:
    """The keys of up to ``most`` due rows of a lane, the oldest first."""
    if head.rows is not None:
        return [key for due_at, key in head.rows if due_at <= now][:most]
    found = connection.execute(_statements(table).due, {"lane": head.lane, "now": now, "most": most})
    return [row[0] for row in found]


def claim(connection: Connection, table: Table, keys: Sequence[int], *, lease_until: int) -> None:
    """Lease the rows ``keys``, which wait."""
    connection.execute(_statements(table).claim, [{"key": key, "lease": lease_until} for key in keys])


def confirm(connection: Connection, table: Table, keys: Sequence[int], *, now: int) -> None:
    """The broker and the journal have them. A row closed meanwhile by a receipt stays closed."""
    connection.execute(_statements(table).confirm, [{"key": key, "now": now} for key in keys])


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


@dataclass(frozen=True, slots=True)
class _Statements:
    """What is run for each message. Building a statement costs more than running it, so these are built once."""

    few: Select[str, int, int]
    heads: Select[str, int]
    due: Select[int]
    claim: Update
    confirm: Update


@cache
def _statements(table: Table) -> _Statements:
    c = table.c
    waiting = c.relay_state == text("0")
    first = select(c.lane).where(waiting).order_by(c.lane).limit(1).scalar_subquery()
    lanes = select(first.label("lane")).cte("lanes", recursive=True)
    following = select(c.lane).where(waiting, c.lane > lanes.c.lane).order_by(c.lane).limit(1).scalar_subquery()
    lanes = lanes.union_all(select(following).where(lanes.c.lane.is_not(None)))
    due_at = select(c.due_at).where(waiting, c.lane == lanes.c.lane).order_by(c.due_at).limit(1).scalar_subquery()
    return _Statements(
        few=select(c.lane, c.due_at, c.seq).where(waiting).order_by(c.lane, c.due_at, c.seq).limit(FEW + 1),
        heads=select(lanes.c.lane, due_at).where(lanes.c.lane.is_not(None)),
        due=(
            select(c.seq)
            .where(waiting, c.lane == bindparam("lane"), c.due_at <= bindparam("now"))
            .order_by(c.due_at, c.seq)
            .limit(bindparam("most"))
        ),
        claim=_by_key(table).values(relay_state=CLAIMED, lease_until=bindparam("lease"), attempts=c.attempts + 1),
        confirm=(
            _by_key(table).where(c.relay_state == CLAIMED).values(relay_state=CONFIRMED, confirmed_at=bindparam("now"))
        ),
    )
