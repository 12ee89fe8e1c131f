"""The log's Merkle tree in the store, as tiles: each a row with the hashes of up to 256 subtrees that lie side by side.

A tile at level 0 holds leaf hashes, one at level *n* the roots of full tiles of level *n* - 1 (C2SP tlog-tiles, so the
rows can be served as they are). Only the last tile of each level ever changes, and only by growing. So appending
rewrites one row a level beside the new ones, and a proof reads a few rows, however large the tree is.

Nothing is kept beside the tiles that they could contradict: the tree's size is where its lowest level ends.
"""

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import Connection, insert, select, tuple_, update

from gateway.store.tables import log_tiles
from trust.merkle import HASH_BYTES, consistency_path, fold, inclusion_path, node_hash, perfect_parts

HEIGHT = 8
"""Levels of the tree within one tile."""

WIDTH = 1 << HEIGHT
_t = log_tiles.c
_Tiles = Mapping[tuple[int, int], bytes]


def tree_size(connection: Connection) -> int:
    """How many leaves the tree has."""
    last = connection.execute(
        select(_t.number, _t.hashes).where(_t.level == 0).order_by(_t.number.desc()).limit(1)
    ).first()
    return 0 if last is None else last.number * WIDTH + len(last.hashes) // HASH_BYTES


def append(connection: Connection, leaves: Sequence[bytes]) -> int:
    """Append leaf hashes, in this order; returns the new size. Whoever calls this alone may append at that time."""
    start = tree_size(connection)
    size = start + len(leaves)
    level, hashes = 0, list(leaves)
    while hashes:
        hashes = _append_to_level(connection, level, start, hashes)
        level, start = level + 1, start // WIDTH
    return size


def root(connection: Connection, size: int) -> bytes:
    """Root of the tree of the first ``size`` leaves.

    Raises:
        LookupError: there are not so many.
    """
    return _hashes_of(connection, [range(size)])[0]


def inclusion_proof(connection: Connection, index: int, size: int) -> list[bytes]:
    """The path from the leaf ``index`` to the root of the first ``size`` leaves.

    Raises:
        ValueError: the leaf is not among them.
        LookupError: there are not so many.
    """
    return _hashes_of(connection, inclusion_path(index, size))


def consistency_proof(connection: Connection, older: int, size: int) -> list[bytes]:
    """What shows that the first ``size`` leaves begin with the first ``older`` ones, at least one.

    Raises:
        ValueError: ``older`` is zero, or more than ``size``.
        LookupError: there are not so many.
    """
    return _hashes_of(connection, consistency_path(older, size))


def _append_to_level(connection: Connection, level: int, start: int, hashes: Sequence[bytes]) -> list[bytes]:
    """Append hashes from ``start`` on at one level; returns the roots of the tiles that have become full."""
    number, before = divmod(start, WIDTH)
    if before:
        tile = connection.execute(select(_t.hashes).where(_t.level == level, _t.number == number)).scalar_one()
        whole = tile + b"".join(hashes)
    else:
        whole = b"".join(hashes)
    tiles = [whole[at : at + WIDTH * HASH_BYTES] for at in range(0, len(whole), WIDTH * HASH_BYTES)]
    rows = [{"level": level, "number": number + each, "hashes": tile} for each, tile in enumerate(tiles)]
    if before:
        grown, *rows = rows
        connection.execute(
            update(log_tiles).where(_t.level == level, _t.number == number).values(hashes=grown["hashes"])
        )
    if rows:
        connection.execute(insert(log_tiles), rows)
    return [_root_of_perfect(tile) for tile in tiles if len(tile) == WIDTH * HASH_BYTES]


def _hashes_of(connection: Connection, subtrees: Iterable[range]) -> list[bytes]:
    """Root of each subtree, with one statement for all."""
    parts = [perfect_parts(subtree) for subtree in subtrees]
    tiles = _tiles(connection, {_place(part)[:2] for each in parts for part in each})
    return [fold([_perfect(tiles, part) for part in each]) for each in parts]


def _tiles(connection: Connection, keys: set[tuple[int, int]]) -> _Tiles:
    if not keys:
        return {}
    rows = connection.execute(
        select(_t.level, _t.number, _t.hashes).where(tuple_(_t.level, _t.number).in_(sorted(keys)))
    )
    return {(row.level, row.number): bytes(row.hashes) for row in rows}


def _place(part: range) -> tuple[int, int, int, int]:
    """Where a perfect subtree stands: level and number of its tile, and there the first hash, and how many."""
    height = len(part).bit_length() - 1
    level = height // HEIGHT
    number, first = divmod(part.start >> level * HEIGHT, WIDTH)
    return level, number, first, 1 << height % HEIGHT


def _perfect(tiles: _Tiles, part: range) -> bytes:
    level, number, first, count = _place(part)
    hashes = tiles.get((level, number), b"")[first * HASH_BYTES : (first + count) * HASH_BYTES]
    if len(hashes) < count * HASH_BYTES:
        raise LookupError(f"the tree has no leaves {part.start} to {part.stop - 1}")
    return _root_of_perfect(hashes)


def _root_of_perfect(hashes: bytes) -> bytes:
    """Root over a power of two of hashes that stand one after the other."""
    level = [hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES)]
    while len(level) > 1:
        level = [node_hash(left, right) for left, right in zip(level[::2], level[1::2], strict=True)]
    return level[0]
