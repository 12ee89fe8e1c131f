"""Signed notes and checkpoints: known answers, what is read back, and everything that must not be believed.

The known answer is the example of golang.org/x/mod/sumdb/note, the format's first implementation.
"""

import base64
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from schemas.errors import ErrorCode
from trust.checkpoint import (
    ED25519,
    Checkpoint,
    LogKey,
    WitnessKey,
    cosign,
    cosigned_at,
    open_checkpoint,
    sign_checkpoint,
)
from trust.errors import VerificationError
from trust.merkle import LARGEST_SIZE
from trust.signed_note import LARGEST_NOTE, MOST_SIGNATURES, NoteSignature, SignedNote, note_key_id

PETER = "PeterNeumann"
PETER_SEED = base64.b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:]
PETER_KEY_ID = "c74f20a3"
PETER_VERIFIER_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PETER_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
PETER_NOTE = (
    PETER_TEXT + "\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)

ORIGIN = "tarasul.example/journal/1"
HEAD = Checkpoint(ORIGIN, 1433, bytes(range(32)))
WITNESS = "sab.example/witness"
AT = 1_795_600_000
KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
WITNESS_PRIVATE = MLDSA44PrivateKey.generate()
LOG = LogKey(ORIGIN, KEY.public_key())
WITNESS_KEY = WitnessKey(WITNESS, WITNESS_PRIVATE.public_key())
SIGNED = bytes(sign_checkpoint(HEAD, KEY))


def refusal(call: Callable[[], object]) -> ErrorCode:
    with pytest.raises(VerificationError) as caught:
        call()
    return caught.value.code


def with_line(signature: NoteSignature) -> bytes:
    return SIGNED + str(signature).encode()


def test_the_first_implementations_example_is_signed_and_read_byte_for_byte() -> None:
    key = Ed25519PrivateKey.from_private_bytes(PETER_SEED)
    key_id = note_key_id(PETER, ED25519, key.public_key().public_bytes_raw())
    assert key_id.hex() == PETER_KEY_ID
    note = SignedNote(PETER_TEXT, (NoteSignature(PETER, key_id, key.sign(PETER_TEXT.encode())),))
    assert bytes(note).decode() == PETER_NOTE
    assert SignedNote.read(PETER_NOTE.encode()) == note


def test_a_logs_key_is_spelt_as_the_first_implementation_spells_it() -> None:
    key = LogKey(PETER, Ed25519PrivateKey.from_private_bytes(PETER_SEED).public_key())
    assert str(key) == PETER_VERIFIER_KEY
    assert LogKey.read(PETER_VERIFIER_KEY) == key


@pytest.mark.parametrize(
    "text",
    [
        "",
        "PeterNeumann",
        PETER_VERIFIER_KEY[:-1],
        PETER_VERIFIER_KEY + "=",
        PETER_VERIFIER_KEY.replace("c74f20a3", "c74f20a4"),
        PETER_VERIFIER_KEY.replace("c74f20a3", "C74F20A3"),
        PETER_VERIFIER_KEY.replace("Peter", "Petra"),
        PETER_VERIFIER_KEY.replace("Neumann", " Neumann"),
        PETER_VERIFIER_KEY.replace("+ARpc", "+Ahpc"),  # kind 2
        "PeterNeumann+c74f20a3+AQ==",  # of no key
        "PeterNeumann+c74f20a3+\u0661\u0661",
    ],
)
def test_what_is_no_logs_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whoever reads it says what it is
        LogKey.read(text)


def test_a_checkpoint_is_three_lines_and_the_signature_of_its_log() -> None:
    text, line = SIGNED.decode().split("\n\n")
    assert text == f"{ORIGIN}\n1433\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
    assert line.startswith(f"— {ORIGIN} ")
    assert open_checkpoint(SIGNED, LOG) == (HEAD, SignedNote.read(SIGNED))


def test_signatures_of_strangers_are_passed_over() -> None:
    stranger = NoteSignature("someone.example", b"abcd", b"whatever")
    other_key_of_that_name = NoteSignature(ORIGIN, b"abcd", b"whatever")
    for signature in (stranger, other_key_of_that_name):
        assert open_checkpoint(with_line(signature), LOG)[0] == HEAD


def test_one_wrong_signature_of_the_log_spoils_the_note() -> None:
    assert (
        refusal(lambda: open_checkpoint(with_line(NoteSignature(ORIGIN, LOG.key_id, bytes(64))), LOG))
        == "note_not_signed"
    )


@pytest.mark.parametrize(
    "other",
    [
        LogKey(ORIGIN, Ed25519PrivateKey.generate().public_key()),
        LogKey("tarasul.example/journal/2", KEY.public_key()),
    ],
)
def test_another_log_or_key_is_not_believed(other: LogKey) -> None:
    assert refusal(lambda: open_checkpoint(SIGNED, other)) == "note_not_signed"


def test_a_checkpoint_of_another_log_is_not_believed_under_this_ones_signature() -> None:
    other = Checkpoint("tarasul.example/journal/2", 7, bytes(32))
    note = SignedNote(other.text, (NoteSignature(ORIGIN, LOG.key_id, KEY.sign(other.text.encode())),))
    assert refusal(lambda: open_checkpoint(bytes(note), LOG)) == "note_not_signed"


def test_no_bit_of_a_checkpoint_can_be_changed() -> None:
    for at in range(len(SIGNED)):
        for bit in (1, 0x20, 0x80):
            spoilt = SIGNED[:at] + bytes([SIGNED[at] ^ bit]) + SIGNED[at + 1 :]
            assert refusal(lambda raw=spoilt: open_checkpoint(raw, LOG)) in ("note_malformed", "note_not_signed")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\n",
        b"\n\n",
        HEAD.text.encode(),
        HEAD.text.encode() + b"\n",
        SIGNED[:-1],
        SIGNED + b"\n",
        SIGNED + b"\n\n",
        SIGNED.replace(b"\n", b"\r\n"),
        SIGNED.replace("— ".encode(), b"- "),
        SIGNED.replace(b"1433", b"14\x0033"),
        SIGNED.replace(b"1433", b"\xff"),
        SIGNED.replace("— tara".encode(), "— t+ra".encode()),
        SIGNED.replace("— tara".encode(), "— t\u00a0ra".encode()),
        HEAD.text.encode() + f"\n— {ORIGIN} AAAA\n".encode(),  # less than a key id
        HEAD.text.encode() + f"\n— {ORIGIN} AAAAAAB=\n".encode(),  # surplus bits
        HEAD.text.encode() + f"\n— {ORIGIN} AAAAA\n".encode(),  # no padding
        HEAD.text.encode() + b"\n" + f"— {ORIGIN} AAAAAAAA\n".encode() * (MOST_SIGNATURES + 1),
        b"x" * (LARGEST_NOTE + 1),
    ],
)  # fmt: skip
def test_what_is_no_signed_note_is_refused(raw: bytes) -> None:
    assert refusal(lambda: SignedNote.read(raw)) == "note_malformed"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        f"{ORIGIN}\n7\n",
        f"\n7\n{'A' * 43}=\n",
        f"{ORIGIN}\n07\n{'A' * 43}=\n",
        f"{ORIGIN}\n-7\n{'A' * 43}=\n",
        f"{ORIGIN}\n\u0667\n{'A' * 43}=\n",
        f"{ORIGIN}\n{LARGEST_SIZE + 1}\n{'A' * 43}=\n",
        f"{ORIGIN}\n{'9' * 5000}\n{'A' * 43}=\n",
        f"{ORIGIN}\n7\n{'A' * 43}\n",
        f"{ORIGIN}\n7\n{'A' * 42}B=\n",
        f"{ORIGIN}\n7\n{'A' * 44}\n",
        f"{ORIGIN}\n7\nAAAA\n",
        f"{ORIGIN}\n7\n{'A' * 43}=",
        f"{ORIGIN}\n7\n{'A' * 43}=\nan extension\n",
    ],
)
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    assert refusal(lambda: Checkpoint.read(text)) == "note_malformed"


def test_a_log_of_no_lawful_name_signs_nothing() -> None:
    for name in ("", "has a space", "has+plus"):
        with pytest.raises(ValueError, match="no name of a key"):
            sign_checkpoint(Checkpoint(name, 0, bytes(32)), KEY)


def test_a_witness_signs_the_tree_the_log_its_own_name_and_the_time() -> None:
    line = cosign(HEAD, WITNESS, WITNESS_PRIVATE, AT)
    message = (
        b"subtree/v1\n\0"
        + bytes([len(WITNESS)]) + WITNESS.encode()
        + AT.to_bytes(8, "big")
        + bytes([len(ORIGIN)]) + ORIGIN.encode()
        + bytes(8) + (1433).to_bytes(8, "big") + HEAD.root
    )  # fmt: skip
    assert line.value[:8] == AT.to_bytes(8, "big")
    assert len(line.value) == 8 + 2420
    WITNESS_KEY.public.verify(line.value[8:], message)
    checkpoint, note = open_checkpoint(with_line(line), LOG)
    assert cosigned_at(checkpoint, note, WITNESS_KEY) == AT


def test_the_newest_co_signature_of_a_witness_counts() -> None:
    lines = [cosign(HEAD, WITNESS, WITNESS_PRIVATE, at) for at in (AT, AT + 60, AT + 10)]
    checkpoint, note = open_checkpoint(SIGNED + "".join(map(str, lines)).encode(), LOG)
    assert cosigned_at(checkpoint, note, WITNESS_KEY) == AT + 60


def test_who_has_not_co_signed_has_no_time() -> None:
    checkpoint, note = open_checkpoint(SIGNED, LOG)
    assert cosigned_at(checkpoint, note, WITNESS_KEY) is None
    other = WitnessKey(WITNESS, MLDSA44PrivateKey.generate().public_key())
    checkpoint, note = open_checkpoint(with_line(cosign(HEAD, WITNESS, WITNESS_PRIVATE, AT)), LOG)
    assert cosigned_at(checkpoint, note, other) is None


@pytest.mark.parametrize(
    "line",
    [
        cosign(Checkpoint(ORIGIN, 1434, HEAD.root), WITNESS, WITNESS_PRIVATE, AT),
        cosign(Checkpoint(ORIGIN, 1433, bytes(32)), WITNESS, WITNESS_PRIVATE, AT),
        cosign(Checkpoint("tarasul.example/journal/2", 1433, HEAD.root), WITNESS, WITNESS_PRIVATE, AT),
        NoteSignature(WITNESS, WITNESS_KEY.key_id, b""),
        NoteSignature(WITNESS, WITNESS_KEY.key_id, b"1234567"),
        NoteSignature(WITNESS, WITNESS_KEY.key_id, bytes(8 + 2420)),
        NoteSignature(
            WITNESS,
            WITNESS_KEY.key_id,
            (AT + 1).to_bytes(8, "big") + cosign(HEAD, WITNESS, WITNESS_PRIVATE, AT).value[8:],
        ),
        NoteSignature(WITNESS, WITNESS_KEY.key_id, cosign(HEAD, "other.example/w", WITNESS_PRIVATE, AT).value),
    ],
    ids=["size", "root", "log", "empty", "short", "zeroes", "time", "name"],
)
def test_a_co_signature_of_something_else_is_not_believed(line: NoteSignature) -> None:
    note = SignedNote(HEAD.text, (line,))
    assert refusal(lambda: cosigned_at(HEAD, note, WITNESS_KEY)) == "note_not_signed"
