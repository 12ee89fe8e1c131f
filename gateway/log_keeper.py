"""Keeping the log: what the journal has recorded becomes leaves, and about once a second a signed checkpoint.

Entries, tiles and the place in the journal are one transaction, under the lease: each token is a leaf exactly once,
whatever crashes. Signatures are verified here and not by the journal reader, which so keeps up with the stream; the log
follows it.

A *head* (size and root) is committed before it is signed, and only by the holder of the lease: of one size the log
never signs two roots. One that was committed and not signed is signed by whoever comes next; Ed25519 has one
signature for a text, so that even then there is one checkpoint of that size.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection, case, func, insert, null, select, tuple_, update

from broker.clock import Clock
from broker.writer import Writer
from gateway.directory_file import DirectoryInForce
from gateway.journal import JournalKind
from gateway.lease import Lease, LeaseLost
from gateway.log_entries import Journalled, LogEntry, log_entry
from gateway.log_tree import append, root, tree_size
from gateway.places import move_to, place_of
from gateway.store.tables import journal, journal_tokens, log_entries, log_heads
from schemas.errors import Refused
from trust.checkpoint import Checkpoint, LogKey, sign_checkpoint
from trust.directory import Directory
from trust.key_files import read_log_key, unreadable
from trust.merkle import leaf_hash

WORK = "logged"
"""Its name among the places in the journal."""

MOST_TAKEN = 64
"""Tokens in one transaction: a signature each, on the loop, and their letters in memory together."""

EVERY_SECONDS = 1.0

_log = structlog.get_logger("log")


@dataclass(frozen=True, slots=True)
class Head:
    """A size that the log stands by, and its root."""

    size: int
    root: bytes


def own_log(key_file: Path, directory: Directory) -> tuple[LogKey, Ed25519PrivateKey]:
    """The log that ``directory`` names, and its private key.

    Raises:
        VerificationError: ``key_unreadable``; also when the directory names another key, or none.
    """
    key = read_log_key(key_file)
    if directory.log is None or directory.log.public != key.public_key():
        raise unreadable(key_file, "ليس مفتاح السجل الذي في الدليل", "it is not the key of the log in the directory")
    return directory.log, key


@dataclass(frozen=True, slots=True)
class Standing:
    """How far the log is.

    Attributes:
        leaves: that it has.
        signed: of them, under the newest signed checkpoint.
        waiting_since: Unix milliseconds, when the journal recorded the oldest message that the log has not taken; None
            when it has taken all.
    """

    leaves: int
    signed: int
    waiting_since: int | None


def log_standing(connection: Connection) -> Standing:
    """How far the log is, as the store has it."""
    j = journal.c
    waiting = connection.execute(
        select(j.recorded_at)
        .where(tuple_(j.incarnation, j.stream_offset) > tuple_(*place_of(connection, WORK, 3)[:2]))
        .order_by(j.incarnation, j.stream_offset)
        .limit(1)
    ).scalar()
    signed = connection.execute(select(func.max(log_heads.c.size)).where(log_heads.c.note.is_not(None))).scalar()
    return Standing(tree_size(connection), signed or 0, waiting)


class LogKeeper:
    """Keeps the log while this process holds the lease.

    Args:
        writer: of the authority's store.
        lease: of this work.
        directory: in force, for signatures of letters.
        origin: the log's name.
        key: the log's.
        clock: for what is accepted when, and the times of heads.

    Attributes:
        taken: tokens of the journal that have been looked at, since the start.
        size: of the newest checkpoint signed.
    """

    def __init__(
        self,
        writer: Writer,
        lease: Lease,
        directory: DirectoryInForce,
        origin: str,
        key: Ed25519PrivateKey,
        clock: Clock,
    ) -> None:
        self._writer = writer
        self._lease = lease
        self._directory = directory
        self._origin = origin
        self._key = key
        self._clock = clock
        self.taken = 0
        self.size = 0

    async def keep_until(self, stopping: asyncio.Event) -> None:
        """Follow the journal, until ``stopping`` is set."""
        while not stopping.is_set():
            next_at = self._clock.monotonic() + EVERY_SECONDS
            try:
                while await self.take_some() and self._clock.monotonic() < next_at:
                    pass
                await self.sign()
            except Refused as refusal:
                _log.warning("log_waits", code=refusal.code)
            except LeaseLost:
                # Nothing was written. The duty finds out by itself, and ends this.
                pass
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, next_at - self._clock.monotonic())):
                    await stopping.wait()

    async def take_some(self) -> bool:
        """Take the next tokens of the journal into the log; True if there may be more.

        Raises:
            Refused: the store cannot be used.
            LeaseLost: another process keeps the log now.
        """
        taken = await self._writer.submit(self._take, None)
        self.taken += taken
        return taken == MOST_TAKEN

    async def sign(self) -> bool:
        """Sign what has come since the last checkpoint; False when there was nothing.

        Raises:
            Refused: the store cannot be used.
            LeaseLost: another process keeps the log now.
        """
        head = await self._writer.submit(self._stand_by, None)
        if head is None:
            return False
        note = sign_checkpoint(Checkpoint(self._origin, head.size, head.root), self._key)
        await self._writer.submit(self._note, (head, bytes(note)))
        self.size = head.size
        return True

    # Transactions

    async def _take(self, connection: Connection, items: Sequence[None]) -> list[int]:
        self._lease.require(connection)
        rows = _next_tokens(connection)
        if not rows:
            return [0] * len(items)
        now, directory = self._clock.now(), self._directory.current
        entries = [entry for row in rows if (entry := log_entry(_journalled(row), directory, now)) is not None]
        _append(connection, entries)
        last = rows[-1]
        move_to(connection, WORK, (last.incarnation, last.stream_offset, last.position))
        return [len(rows)] * len(items)

    async def _stand_by(self, connection: Connection, items: Sequence[None]) -> list[Head | None]:
        """Commit to the tree as it stands, if it has grown; an unsigned head comes first.

        The very first is of the empty tree: there is a checkpoint from the beginning.
        """
        self._lease.require(connection)
        unsigned = connection.execute(
            select(log_heads.c.size, log_heads.c.root).where(log_heads.c.note.is_(None)).order_by(log_heads.c.size)
        ).first()
        if unsigned is not None:
            return [Head(unsigned.size, bytes(unsigned.root))] * len(items)
        size = tree_size(connection)
        newest = connection.execute(select(func.max(log_heads.c.size))).scalar()
        if newest is not None and size <= newest:
            return [None] * len(items)
        head = Head(size, root(connection, size))
        connection.execute(
            insert(log_heads).values(size=head.size, root=head.root, made_at=self._clock.unix_ms(), note=None)
        )
        return [head] * len(items)

    async def _note(self, connection: Connection, items: Sequence[tuple[Head, bytes]]) -> list[None]:
        for head, note in items:
            connection.execute(
                update(log_heads)
                .where(log_heads.c.size == head.size, log_heads.c.root == head.root, log_heads.c.note.is_(None))
                .values(note=note)
            )
        return [None] * len(items)


def _next_tokens(connection: Connection) -> Sequence[Any]:
    t, j = journal_tokens.c, journal.c
    # A message of receipts has many tokens, and is not read once for each of them.
    body = case((j.kind.in_((JournalKind.LETTER.value, JournalKind.OTHER.value)), j.body), else_=null())
    return connection.execute(
        select(
            t.incarnation,
            t.stream_offset,
            t.position,
            t.digest,
            t.type,
            t.routing_key,
            t.publisher,
            j.kind,
            j.recorded_at,
            body.label("body"),
        )
        .select_from(
            journal_tokens.join(journal, (j.incarnation == t.incarnation) & (j.stream_offset == t.stream_offset))
        )
        .where(tuple_(t.incarnation, t.stream_offset, t.position) > tuple_(*place_of(connection, WORK, 3)))
        .order_by(t.incarnation, t.stream_offset, t.position)
        .limit(MOST_TAKEN)
    ).all()


def _journalled(row: Any) -> Journalled:
    return Journalled(
        kind=JournalKind(row.kind),
        routing_key=row.routing_key,
        publisher=row.publisher,
        recorded_at=row.recorded_at,
        digest=row.digest,
        type=row.type,
        body=None if row.body is None else bytes(row.body),
    )


def _append(connection: Connection, entries: Sequence[LogEntry]) -> None:
    """Append what the log does not have yet.

    A letter that was published again is the same leaf. One that somebody else had published before its sender did is
    recorded, and accepted all the same once the sender has.
    """
    e = log_entries.c
    keys = {(each.digest, each.lane) for each in entries}
    known: dict[tuple[str, str], bool] = {}
    if keys:
        there = (
            select(e.digest, e.lane, e.accepted)
            .where(tuple_(e.digest, e.lane).in_(sorted(keys)))
            .order_by(e.accepted)  # what was both is known as accepted
        )
        known = {(row.digest, row.lane): row.accepted for row in connection.execute(there)}
    fresh: list[LogEntry] = []
    for each in entries:
        key = (each.digest, each.lane)
        if key not in known or (each.accepted and not known[key]):
            known[key] = each.accepted
            fresh.append(each)
    if not fresh:
        return
    first = append(connection, [leaf_hash(each.entry) for each in fresh]) - len(fresh)
    connection.execute(
        insert(log_entries),
        [
            {
                "number": number,
                "digest": each.digest,
                "lane": each.lane,
                "accepted": each.accepted,
                "entry": each.entry,
            }
            for number, each in enumerate(fresh, first)
        ],
    )
