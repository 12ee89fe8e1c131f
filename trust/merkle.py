"""The Merkle tree of the log: hashes and proofs (RFC 6962 §2.1; checked as RFC 9162 §2.1.3.2 and §2.1.4.2 say).

A tree is known by its *size*, the number of its leaves, and its *root*. A subtree is a :class:`range` of leaves.

    verify_inclusion(leaf_hash(entry), index, size, path, root)
    verify_consistency(older_size, older_root, size, root, path)

Who holds the tree makes proofs from the hashes of the subtrees that :func:`inclusion_path` and
:func:`consistency_path` name; each of them is one hash or folded from few (:func:`perfect_parts`).
"""

import hashlib
from collections.abc import Sequence

from schemas.errors import ErrorCode
from trust.errors import VerificationError

HASH_BYTES = 32
LARGEST_SIZE = 2**63 - 1
EMPTY_ROOT = hashlib.sha256().digest()
"""Root of the tree that has no leaf."""


def leaf_hash(entry: bytes) -> bytes:
    """Hash of the leaf whose entry is ``entry``."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of the node above two subtrees."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def fold(hashes: Sequence[bytes]) -> bytes:
    """Root of a tree, from the roots of its :func:`perfect_parts`, in their order."""
    if not hashes:
        return EMPTY_ROOT
    *others, root = hashes
    for left in reversed(others):
        root = node_hash(left, root)
    return root


def perfect_parts(leaves: range) -> list[range]:
    """The perfect subtrees (2ⁿ leaves each) that ``leaves`` consists of, the largest first.

    ``leaves`` begins where a subtree does that is at least as large: any range that a path names, or a whole tree.
    """
    parts: list[range] = []
    start = leaves.start
    while start < leaves.stop:
        width = 1 << (leaves.stop - start).bit_length() - 1
        parts.append(range(start, start + width))
        start += width
    return parts


def inclusion_path(index: int, size: int) -> list[range]:
    """The subtrees whose hashes show that the leaf ``index`` is in the tree of ``size``, from the leaf upwards."""
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} of {size}")
    path: list[range] = []
    start, stop = 0, size
    while stop - start > 1:
        middle = start + _left_width(stop - start)
        if index < middle:
            path.append(range(middle, stop))
            stop = middle
        else:
            path.append(range(start, middle))
            start = middle
    return path[::-1]


def consistency_path(older: int, size: int) -> list[range]:
    """The subtrees whose hashes show that the tree of ``size`` begins with that of ``older`` leaves."""
    if not 0 < older <= size:
        raise ValueError(f"from {older} to {size}")
    path: list[range] = []
    start, stop = 0, size
    while stop != older:
        middle = start + _left_width(stop - start)
        if older <= middle:
            path.append(range(middle, stop))
            stop = middle
        else:
            path.append(range(start, middle))
            start = middle
    if start:  # otherwise it is the older tree itself, whose root the verifier knows
        path.append(range(start, stop))
    return path[::-1]


def verify_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> None:
    """Believe that a leaf stands in a tree.

    Args:
        leaf: its hash.
        index: its place, from 0.
        size: of the tree.
        path: hashes from the leaf's sibling upwards.
        root: of the tree.

    Raises:
        VerificationError: ``log_proof_wrong``.
    """
    if not (0 <= index < size <= LARGEST_SIZE and _are_hashes(leaf, root, *path)):
        raise VerificationError(ErrorCode.LOG_PROOF_WRONG)
    found = leaf
    for is_left, sibling in zip(_sides(index, size - 1, len(path)), path, strict=True):
        found = node_hash(sibling, found) if is_left else node_hash(found, sibling)
    if found != root:
        raise VerificationError(ErrorCode.LOG_PROOF_WRONG)


def verify_consistency(older: int, older_root: bytes, size: int, root: bytes, path: Sequence[bytes]) -> None:
    """Believe that the tree of ``size`` leaves and ``root`` begins with the ``older`` one, unchanged.

    Args:
        older: its size.
        older_root: its root.
        size: of the newer tree.
        root: of the newer tree.
        path: hashes as RFC 6962 §2.1.2 orders them.

    Raises:
        VerificationError: ``log_proof_wrong``.
    """
    if not (0 <= older <= size <= LARGEST_SIZE and _are_hashes(older_root, root, *path)):
        raise VerificationError(ErrorCode.LOG_PROOF_WRONG)
    if older in {0, size}:
        # Every tree begins with the empty one, and with itself; there is nothing to show.
        is_empty_one = older or older_root == EMPTY_ROOT
        is_itself = older < size or older_root == root
        if path or not (is_empty_one and is_itself):
            raise VerificationError(ErrorCode.LOG_PROOF_WRONG)
        return
    if not path:
        raise VerificationError(ErrorCode.LOG_PROOF_WRONG)
    # A path begins at the last perfect subtree of the older tree; where the older tree is perfect itself, after it.
    start, *path = path if older & (older - 1) else (older_root, *path)
    node, last = older - 1, size - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    found_older = found = start
    for is_left, sibling in zip(_sides(node, last, len(path)), path, strict=True):
        if is_left:
            found_older = node_hash(sibling, found_older)
        found = node_hash(sibling, found) if is_left else node_hash(found, sibling)
    if found_older != older_root or found != root:
        raise VerificationError(ErrorCode.LOG_PROOF_WRONG)


def _sides(node: int, last: int, length: int) -> list[bool]:
    """Of each sibling on the way from ``node`` to the root, whether it stands on the left.

    Args:
        node: number of the node on its level.
        last: number of the last node on that level.
        length: of the path.

    Raises:
        VerificationError: ``log_proof_wrong``: the way is longer or shorter.
    """
    sides: list[bool] = []
    while last and len(sides) <= length:
        is_left = bool(node & 1) or node == last
        while is_left and not node & 1:  # the last node of a level without a sibling is the node above, too
            node, last = node >> 1, last >> 1
        sides.append(is_left)
        node, last = node >> 1, last >> 1
    if len(sides) != length:
        raise VerificationError(ErrorCode.LOG_PROOF_WRONG)
    return sides


def _left_width(width: int) -> int:
    """The largest power of two less than ``width``, which is at least 2."""
    return 1 << (width - 1).bit_length() - 1


def _are_hashes(*hashes: bytes) -> bool:
    return all(len(each) == HASH_BYTES for each in hashes)
