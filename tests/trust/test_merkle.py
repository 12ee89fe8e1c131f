"""The Merkle tree: known answers, every proof of every small tree, and everything that must not be believed.

The known answers are those of github.com/transparency-dev/merkle (rfc6962/rfc6962_test.go, proof/verify_test.go at
commit 02194e9afb6c1d95b5381350007963aa70fff472), which Certificate Transparency has used since 2014.
"""

import hashlib
from collections.abc import Callable, Sequence

import pytest

from schemas.errors import ErrorCode
from trust.errors import VerificationError
from trust.merkle import (
    EMPTY_ROOT,
    LARGEST_SIZE,
    consistency_path,
    fold,
    inclusion_path,
    leaf_hash,
    node_hash,
    perfect_parts,
    verify_consistency,
    verify_inclusion,
)

ENTRIES = [
    bytes.fromhex(each)
    for each in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = [
    bytes.fromhex(each)
    for each in (
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    )
]
INCLUSION = [  # index, size, path
    (0, 1, []),
    (
        0,
        8,
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        5,
        8,
        [
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (2, 3, ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
    (
        1,
        5,
        [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
]
CONSISTENCY = [  # older size, size, path
    (1, 1, []),
    (
        1,
        8,
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        6,
        8,
        [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (
        2,
        5,
        [
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
    (
        6,
        7,
        [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
]

SIZES = range(1, 34)
HASHES = [leaf_hash(b"entry %d" % number) for number in range(SIZES.stop)]
STRANGE = hashlib.sha256(b"of no tree").digest()


def root(hashes: Sequence[bytes]) -> bytes:
    """The root as RFC 6962 §2.1 defines it, word for word."""
    if len(hashes) == 1:
        return hashes[0]
    k = 1
    while k * 2 < len(hashes):
        k *= 2
    return node_hash(root(hashes[:k]), root(hashes[k:]))


def hashed(path: Sequence[range], hashes: Sequence[bytes] = HASHES) -> list[bytes]:
    return [root(hashes[part.start : part.stop]) for part in path]


def is_believed(verify: Callable[..., None], *arguments: object) -> bool:
    try:
        verify(*arguments)
    except VerificationError as refusal:
        if refusal.code != ErrorCode.LOG_PROOF_WRONG:
            raise
        return False
    return True


def spoilt(path: Sequence[bytes]) -> list[list[bytes]]:
    """Proofs that are not ``path``: a hash changed, one less, one more."""
    changed = [[*path[:at], bytes([each[0] ^ 8]) + each[1:], *path[at + 1 :]] for at, each in enumerate(path)]
    shorter = [[*path[:at], *path[at + 1 :]] for at in range(len(path))]
    longer = [[*path[:at], more, *path[at:]] for at in range(len(path) + 1) for more in (STRANGE, b"", *path[:1])]
    cut = [[*path[:-1], path[-1][:-1]]] if path else []
    return [*changed, *shorter, *longer, *cut, *([[]] if path else [])]


def test_hashes_are_those_of_rfc_6962() -> None:
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert leaf_hash(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert leaf_hash(b"L123456").hex() == "395aa064aa4c29f7010acfe3f25db9485bbd4b91897b6ad7ad547639252b4d56"
    assert node_hash(b"N123", b"N456").hex() == "aa217fe888e47007fa15edab33c2b492a722cb106c64667fc2b044444de66bbb"


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_are_the_known_ones(size: int) -> None:
    hashes = [leaf_hash(each) for each in ENTRIES[:size]]
    assert root(hashes) == ROOTS[size - 1]
    assert fold([root(hashes[part.start : part.stop]) for part in perfect_parts(range(size))]) == ROOTS[size - 1]


@pytest.mark.parametrize(("index", "size", "path"), INCLUSION)
def test_known_inclusion_proofs_are_made_and_believed(index: int, size: int, path: list[str]) -> None:
    hashes = [leaf_hash(each) for each in ENTRIES]
    made = hashed(inclusion_path(index, size), hashes)
    assert [each.hex() for each in made] == path
    verify_inclusion(hashes[index], index, size, made, ROOTS[size - 1])


@pytest.mark.parametrize(("older", "size", "path"), CONSISTENCY)
def test_known_consistency_proofs_are_made_and_believed(older: int, size: int, path: list[str]) -> None:
    made = hashed(consistency_path(older, size), [leaf_hash(each) for each in ENTRIES])
    assert [each.hex() for each in made] == path
    verify_consistency(older, ROOTS[older - 1], size, ROOTS[size - 1], made)


@pytest.mark.parametrize("size", SIZES)
def test_every_leaf_of_a_tree_is_shown_and_nothing_else_is(size: int) -> None:
    tree = root(HASHES[:size])
    for index in range(size):
        path = hashed(inclusion_path(index, size))
        verify_inclusion(HASHES[index], index, size, path, tree)
        for other in {*range(size + 2), -1} - {index}:
            assert not is_believed(verify_inclusion, HASHES[index], other, size, path, tree)
        assert not is_believed(verify_inclusion, HASHES[index], index, size * 2, path, tree)
        assert not is_believed(verify_inclusion, STRANGE, index, size, path, tree)
        assert not is_believed(verify_inclusion, HASHES[index], index, size, path, STRANGE)
        for wrong in spoilt(path):
            assert not is_believed(verify_inclusion, HASHES[index], index, size, wrong, tree)


@pytest.mark.parametrize("size", SIZES)
def test_every_older_tree_is_shown_and_nothing_else_is(size: int) -> None:
    tree = root(HASHES[:size])
    for older in range(1, size):
        path = hashed(consistency_path(older, size))
        before = root(HASHES[:older])
        verify_consistency(older, before, size, tree, path)
        for other in set(range(size + 1)) - {older}:
            assert not is_believed(verify_consistency, other, before, size, tree, path)
        for wrong_older, wrong in ((STRANGE, tree), (before, STRANGE), (tree, before), (before, before)):
            assert not is_believed(verify_consistency, older, wrong_older, size, wrong, path)
        for spoilt_path in spoilt(path):
            assert not is_believed(verify_consistency, older, before, size, tree, spoilt_path)


def test_a_tree_begins_with_the_empty_one_and_with_itself() -> None:
    verify_consistency(0, EMPTY_ROOT, 0, EMPTY_ROOT, [])
    verify_consistency(0, EMPTY_ROOT, 5, ROOTS[4], [])
    verify_consistency(5, ROOTS[4], 5, ROOTS[4], [])
    assert not is_believed(verify_consistency, 0, STRANGE, 5, ROOTS[4], [])
    assert not is_believed(verify_consistency, 0, EMPTY_ROOT, 0, STRANGE, [])
    assert not is_believed(verify_consistency, 0, EMPTY_ROOT, 5, ROOTS[4], [STRANGE])
    assert not is_believed(verify_consistency, 5, ROOTS[4], 5, STRANGE, [])
    assert not is_believed(verify_consistency, 5, ROOTS[4], 5, ROOTS[4], [STRANGE])
    assert not is_believed(verify_consistency, 5, ROOTS[4], 4, ROOTS[3], [])
    assert not is_believed(verify_consistency, -1, EMPTY_ROOT, 5, ROOTS[4], [])


def test_sizes_beyond_all_reason_end_soon() -> None:
    assert not is_believed(verify_inclusion, STRANGE, 10**1000, 10**1000 + 1, [STRANGE] * 3, STRANGE)
    assert not is_believed(verify_consistency, 3, STRANGE, 10**1000, STRANGE, [STRANGE] * 3)
    assert len(inclusion_path(LARGEST_SIZE // 3, LARGEST_SIZE)) <= 64
    assert len(consistency_path(LARGEST_SIZE // 3, LARGEST_SIZE)) <= 64


@pytest.mark.parametrize(("make", "arguments"), [(inclusion_path, (5, 5)), (inclusion_path, (-1, 5)),
                                                 (consistency_path, (0, 5)), (consistency_path, (6, 5))])  # fmt: skip
def test_what_is_not_in_a_tree_has_no_path(make: Callable[[int, int], list[range]], arguments: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"leaf|from"):
        make(*arguments)
