"""The log's tree on both databases: the same roots and proofs as by definition, and few rows however large it is."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from sqlalchemy import Connection, event, func, select

from gateway.log_tree import WIDTH, append, consistency_proof, inclusion_proof, root, tree_size
from gateway.store.opening import GatewayStore
from gateway.store.tables import log_tiles
from tests.gateway.databases import place, postgres, store
from trust.merkle import EMPTY_ROOT, fold, leaf_hash, node_hash, perfect_parts, verify_consistency, verify_inclusion

__all__ = ["place", "postgres", "store"]

MILLION = 1_000_000
SIZES = (1, 2, 3, 255, 256, 257, 511, 512, 513, 70_000)
LEAVES = [leaf_hash(b"%d" % number) for number in range(SIZES[-1])]


def root_by_definition(leaves: list[bytes]) -> bytes:
    """RFC 6962 §2.1, over the perfect subtrees."""

    def perfect(hashes: list[bytes]) -> bytes:
        while len(hashes) > 1:
            hashes = [node_hash(*pair) for pair in zip(hashes[::2], hashes[1::2], strict=True)]
        return hashes[0]

    return fold([perfect(leaves[part.start : part.stop]) for part in perfect_parts(range(len(leaves)))])


@pytest.fixture
def connection(store: GatewayStore) -> Iterator[Connection]:
    with store.engine.begin() as opened:
        yield opened


@dataclass
class Touched:
    """Statements carried out, and rows that they wrote or gave."""

    statements: int = 0
    rows: int = 0
    _reads: list[str] = field(default_factory=list)


@contextmanager
def touched(connection: Connection) -> Iterator[Touched]:
    """Count what is done on ``connection`` within."""
    count = Touched()

    def after(_connection: object, cursor: object, statement: str, parameters: object, *_rest: object) -> None:
        count.statements += 1
        if not statement.lstrip().upper().startswith("SELECT"):
            count.rows += max(getattr(cursor, "rowcount", 0), len(parameters) if isinstance(parameters, list) else 1)

    event.listen(connection, "after_cursor_execute", after)
    try:
        yield count
    finally:
        event.remove(connection, "after_cursor_execute", after)


def test_an_empty_tree_has_no_leaf_and_the_root_of_nothing(connection: Connection) -> None:
    assert tree_size(connection) == 0
    assert append(connection, []) == 0
    assert root(connection, 0) == EMPTY_ROOT


def test_a_tree_that_grew_by_steps_is_the_tree_of_its_leaves(connection: Connection) -> None:
    before = 0
    for size in SIZES:
        assert append(connection, LEAVES[before:size]) == size
        assert tree_size(connection) == size
        before = size
    for size in SIZES:
        assert root(connection, size) == root_by_definition(LEAVES[:size])


@pytest.mark.parametrize("step", [1, 7, 256, 300])
def test_it_does_not_matter_in_what_steps_a_tree_grew(connection: Connection, step: int) -> None:
    for at in range(0, 700, step):
        append(connection, LEAVES[at : min(at + step, 700)])
    assert root(connection, 700) == root_by_definition(LEAVES[:700])


def test_proofs_of_any_leaf_and_any_older_tree_are_believed(connection: Connection) -> None:
    append(connection, LEAVES)
    for size in SIZES:
        now = root_by_definition(LEAVES[:size])
        for index in {0, 1, size // 3, size // 2, size - 1, 255, 256, 257} & set(range(size)):
            verify_inclusion(LEAVES[index], index, size, inclusion_proof(connection, index, size), now)
        for older in {1, 2, 255, 256, 257, size // 3, size - 1, size} & set(range(1, size + 1)):
            path = consistency_proof(connection, older, size)
            verify_consistency(older, root_by_definition(LEAVES[:older]), size, now, path)


def test_what_the_tree_does_not_have_is_not_proved(connection: Connection) -> None:
    append(connection, LEAVES[:300])
    with pytest.raises(LookupError):
        root(connection, 301)
    with pytest.raises(LookupError):
        inclusion_proof(connection, 0, 600)
    with pytest.raises(LookupError):
        consistency_proof(connection, 300, 301)
    with pytest.raises(ValueError, match="leaf 300 of 300"):
        inclusion_proof(connection, 300, 300)


def test_full_tiles_never_change(connection: Connection) -> None:
    append(connection, LEAVES[:600])
    full = select(log_tiles).where(func.length(log_tiles.c.hashes) == WIDTH * 32).order_by(log_tiles.c.number)
    before = [(row.level, row.number, bytes(row.hashes)) for row in connection.execute(full)]
    assert [row[:2] for row in before] == [(0, 0), (0, 1)]
    assert before[1][2] == b"".join(LEAVES[256:512])
    append(connection, LEAVES[600:900])
    after = [(row.level, row.number, bytes(row.hashes)) for row in connection.execute(full)]
    assert after[:2] == before


def test_appending_and_proving_cost_the_same_few_rows_in_a_large_tree(connection: Connection) -> None:
    counts: dict[int, tuple[Touched, Touched, Touched]] = {}
    for size in (1_000, MILLION):
        append(connection, [hashlib.sha256(b"%d" % number).digest() for number in range(tree_size(connection), size)])
        with touched(connection) as appending:
            append(connection, LEAVES[:10])
        with touched(connection) as proving:
            inclusion_proof(connection, size // 3, size)
        with touched(connection) as comparing:
            consistency_proof(connection, size // 3, size)
        counts[size] = (appending, proving, comparing)
    small, large = counts[1_000], counts[MILLION]
    assert [each.statements for each in small[1:]] == [each.statements for each in large[1:]] == [1, 1]
    assert small[0].statements <= large[0].statements <= 3
    assert small[0].rows <= large[0].rows <= 2


def test_an_append_across_tiles_writes_a_row_for_each_and_one_a_level(connection: Connection) -> None:
    append(connection, LEAVES[:65_500])
    with touched(connection) as appending:
        append(connection, LEAVES[65_500:66_000])
    # Level 0: one grown and two new; level 1: 255 to 257 full tiles, one grown and one new; level 2: the first.
    assert appending.rows == 6
    assert root(connection, 66_000) == root_by_definition(LEAVES[:66_000])
