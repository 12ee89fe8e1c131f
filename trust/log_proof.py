"""Proofs that an entry stands in the log, as one can keep them (C2SP tlog-proof, ``.tlog-proof``).

    proof = LogProof.read(raw)
    checkpoint = proof.verify(entry, log_key)

A proof holds all that is needed beside the entry and the log's key: where the entry stands, the path from it to the
root, and the signed checkpoint, with the co-signatures of those who have seen it.
"""

import re
from dataclasses import dataclass
from typing import Final

from trust import standard_base64
from trust.checkpoint import Checkpoint, LogKey, open_checkpoint
from trust.merkle import HASH_BYTES, LARGEST_SIZE, leaf_hash, verify_inclusion
from trust.signed_note import LARGEST_NOTE, malformed

FIRST_LINE: Final = "c2sp.org/tlog-proof@v1"
MOST_HASHES: Final = 64
"""A path in the largest tree has as many."""

LARGEST_PROOF: Final = LARGEST_NOTE + 4096
_INDEX: Final = re.compile(r"index (0|[1-9][0-9]{0,18})")


@dataclass(frozen=True, slots=True)
class LogProof:
    """Not believed before :meth:`verify`.

    Attributes:
        index: of the entry in the log, from 0.
        path: hashes from the leaf's sibling upwards.
        note: the signed checkpoint, byte for byte.
    """

    index: int
    path: tuple[bytes, ...]
    note: bytes

    @classmethod
    def read(cls, raw: bytes) -> "LogProof":
        """Take a proof apart. One with the format's ``extra`` line is refused: nothing would vouch for that line.

        Raises:
            VerificationError: ``note_malformed``.
        """
        if len(raw) > LARGEST_PROOF:
            raise malformed("طوله يتجاوز الحد", "it is too long")
        head, blank, note = raw.partition(b"\n\n")
        try:
            first, index, *hashes = head.decode("ascii").split("\n")
        except ValueError:  # UnicodeDecodeError is one too
            raise malformed("ليس إثباتاً من السجل", "it is no proof of a log") from None
        found = _INDEX.fullmatch(index)
        if not blank or first != FIRST_LINE or found is None or int(found[1]) >= LARGEST_SIZE:
            raise malformed("ليس إثباتاً من السجل", "it is no proof of a log")
        if len(hashes) > MOST_HASHES:
            raise malformed("عدد البصمات يتجاوز الحد", "there are too many digests")
        return cls(int(found[1]), tuple(_read_hash(line) for line in hashes), note)

    def __bytes__(self) -> bytes:
        hashes = map(standard_base64.encode, self.path)
        return "\n".join((FIRST_LINE, f"index {self.index}", *hashes)).encode() + b"\n\n" + self.note

    def verify(self, entry: bytes, log: LogKey) -> Checkpoint:
        """The checkpoint that covers ``entry``, whose signature was verified with ``log``.

        Raises:
            VerificationError: ``note_malformed``, ``note_not_signed``, ``log_proof_wrong``.
        """
        checkpoint, _note = open_checkpoint(self.note, log)
        verify_inclusion(leaf_hash(entry), self.index, checkpoint.size, self.path, checkpoint.root)
        return checkpoint


def _read_hash(line: str) -> bytes:
    try:
        digest = standard_base64.decode(line)
    except ValueError:
        digest = b""
    if len(digest) != HASH_BYTES:
        raise malformed("سطر فيه ليس بصمة", "a line in it is no digest")
    return digest
