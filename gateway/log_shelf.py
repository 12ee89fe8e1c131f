"""What can be taken from the log: its newest checkpoint, tiles of its tree, and proofs of what stands in it."""

from dataclasses import dataclass

from sqlalchemy import Connection, select

from gateway.log_tree import HEIGHT, WIDTH, inclusion_proof
from gateway.store.tables import log_entries, log_heads, log_tiles
from trust.log_proof import LogProof
from trust.merkle import HASH_BYTES


@dataclass(frozen=True, slots=True)
class ProvenEntry:
    """An entry of the log, and the proof that it stands there.

    Attributes:
        entry: its bytes.
        lane: of a letter: to whom; else empty.
        accepted: whether it says that a letter was accepted.
        proof: under the newest checkpoint; None while none covers it.
    """

    entry: bytes
    lane: str
    accepted: bool
    proof: LogProof | None


def newest_checkpoint(connection: Connection) -> bytes | None:
    """The signed note; None before there is one."""
    newest = _newest(connection)
    return None if newest is None else newest[1]


def tile(connection: Connection, level: int, number: int, width: int | None) -> bytes | None:
    """A tile's first ``width`` hashes (None: all 256), 32 bytes each; None when no signed checkpoint covers them."""
    newest = _newest(connection)
    signed = 0 if newest is None else newest[0] >> HEIGHT * level
    wanted = width or WIDTH
    if number * WIDTH + wanted > signed:
        return None
    t = log_tiles.c
    hashes = connection.execute(select(t.hashes).where(t.level == level, t.number == number)).scalar()
    return None if hashes is None else bytes(hashes[: wanted * HASH_BYTES])


def proven(connection: Connection, digest: str) -> list[ProvenEntry]:
    """Everything that the log says of the token ``digest``, in the log's order."""
    newest = _newest(connection)
    e = log_entries.c
    found: list[ProvenEntry] = []
    for row in connection.execute(select(log_entries).where(e.digest == digest).order_by(e.number)):
        proof = None
        if newest is not None and row.number < newest[0]:
            size, note = newest
            proof = LogProof(row.number, tuple(inclusion_proof(connection, row.number, size)), note)
        found.append(ProvenEntry(bytes(row.entry), row.lane, row.accepted, proof))
    return found


def _newest(connection: Connection) -> tuple[int, bytes] | None:
    h = log_heads.c
    row = connection.execute(
        select(h.size, h.note).where(h.note.is_not(None)).order_by(h.size.desc()).limit(1)
    ).one_or_none()
    return None if row is None else (row.size, bytes(row.note))
