"""Proofs that an entry stands in the log: made, kept, read back, and believed only when all of it agrees."""

import base64
import random
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from schemas.errors import ErrorCode
from trust.checkpoint import Checkpoint, LogKey, sign_checkpoint
from trust.errors import VerificationError
from trust.log_proof import LARGEST_PROOF, MOST_HASHES, LogProof
from trust.merkle import fold, inclusion_path, leaf_hash, node_hash, perfect_parts

ORIGIN = "tarasul.example/journal/1"
KEY = Ed25519PrivateKey.generate()
LOG = LogKey(ORIGIN, KEY.public_key())
ENTRIES = [b'{"letter": %d}' % number for number in range(11)]
AT = 6


def _root(part: range) -> bytes:
    if len(part) == 1:
        return leaf_hash(ENTRIES[part.start])
    if len(parts := perfect_parts(part)) > 1:
        return fold([_root(each) for each in parts])
    middle = (part.start + part.stop) // 2
    return node_hash(_root(range(part.start, middle)), _root(range(middle, part.stop)))


NOTE = bytes(sign_checkpoint(Checkpoint(ORIGIN, len(ENTRIES), _root(range(len(ENTRIES)))), KEY))
PROOF = LogProof(AT, tuple(_root(part) for part in inclusion_path(AT, len(ENTRIES))), NOTE)
RAW = bytes(PROOF)


def refusal(call: Callable[[], object]) -> ErrorCode:
    with pytest.raises(VerificationError) as caught:
        call()
    return caught.value.code


def test_a_proof_is_the_formats_lines_and_the_checkpoint_as_it_was_signed() -> None:
    lines = [base64.b64encode(each).decode() for each in PROOF.path]
    assert RAW.decode() == "\n".join(["c2sp.org/tlog-proof@v1", f"index {AT}", *lines, "", NOTE.decode()])
    assert LogProof.read(RAW) == PROOF


def test_a_proof_says_which_checkpoint_covers_the_entry() -> None:
    assert LogProof.read(RAW).verify(ENTRIES[AT], LOG).size == len(ENTRIES)


def test_the_only_entry_of_a_log_needs_no_path() -> None:
    note = bytes(sign_checkpoint(Checkpoint(ORIGIN, 1, leaf_hash(ENTRIES[0])), KEY))
    assert LogProof.read(bytes(LogProof(0, (), note))).verify(ENTRIES[0], LOG).size == 1


def test_another_entry_log_or_place_is_not_believed() -> None:
    assert refusal(lambda: PROOF.verify(ENTRIES[AT + 1], LOG)) == "log_proof_wrong"
    assert refusal(lambda: PROOF.verify(ENTRIES[AT] + b" ", LOG)) == "log_proof_wrong"
    assert refusal(lambda: LogProof(AT + 1, PROOF.path, NOTE).verify(ENTRIES[AT], LOG)) == "log_proof_wrong"
    other = LogKey(ORIGIN, Ed25519PrivateKey.generate().public_key())
    assert refusal(lambda: PROOF.verify(ENTRIES[AT], other)) == "note_not_signed"


def test_no_byte_of_a_proof_can_be_changed() -> None:
    dice = random.Random(1433)  # noqa: S311 - the same in every run
    for at in range(len(RAW)):
        other = dice.choice([byte for byte in range(256) if byte != RAW[at]])
        spoilt = RAW[:at] + bytes([other]) + RAW[at + 1 :]
        assert refusal(lambda raw=spoilt: LogProof.read(raw).verify(ENTRIES[AT], LOG)) in {  # type: ignore[misc]
            "note_malformed",
            "note_not_signed",
            "log_proof_wrong",
        }


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\n\n" + NOTE,
        RAW.replace(b"@v1", b"@v2"),
        RAW.replace(b"index 6", b"index 06"),
        RAW.replace(b"index 6", b"index -6"),
        RAW.replace(b"index 6", "index \u0666".encode()),
        RAW.replace(b"index 6", b"index " + b"9" * 5000),
        RAW.replace(b"index 6\n", b""),
        RAW.replace(b"index 6", b"extra AAAA\nindex 6"),
        RAW.replace(b"=\n", b"\n", 1),
        RAW.replace(b"index 6\n", b"index 6\nAAAA\n"),
        RAW.replace(b"\n", b"\r\n"),
        RAW.replace(b"index 6\n", b"index 6\n" + (base64.b64encode(bytes(32)) + b"\n") * MOST_HASHES),
        RAW + b"x" * LARGEST_PROOF,
        b"c2sp.org/tlog-proof@v1\nindex 6",
    ],
)
def test_what_is_no_proof_is_refused(raw: bytes) -> None:
    assert refusal(lambda: LogProof.read(raw)) == "note_malformed"
