"""Checkpoints (C2SP tlog-checkpoint): how many leaves the log has, and their root, signed by the log.

    note = sign_checkpoint(Checkpoint(origin, size, root), log_key)
    checkpoint = open_checkpoint(raw, LogKey(origin, public_key))

A *co-signature* (C2SP tlog-cosignature, ML-DSA-44) is a witness's word that it has seen this tree grow out of every
tree that it has signed before. It names the witness and the time, and stands under the same note.
"""

import re
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey

from schemas.errors import ErrorCode
from trust import standard_base64
from trust.errors import VerificationError
from trust.merkle import HASH_BYTES, LARGEST_SIZE
from trust.signed_note import NoteSignature, SignedNote, malformed, note_key_id, require_key_name

ED25519: Final = 0x01
ML_DSA_44_COSIGNATURE: Final = 0x06
LONGEST_NAME = 255
"""Bytes of an origin or a witness's name, as a co-signature has one byte for its length."""

_TIME_BYTES: Final = 8
_COSIGNED_LABEL: Final = b"subtree/v1\n\0"
_VERIFIER_KEY: Final = re.compile(r"([^\s+]+)\+([0-9a-f]{8})\+([!-~]+)")
_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,18}")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The log's head.

    Attributes:
        origin: which log, e.g. ``tarasul.example/journal/1``.
        size: leaves.
        root: SHA-256, 32 bytes.
    """

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """What is signed."""
        return f"{self.origin}\n{self.size}\n{standard_base64.encode(self.root)}\n"

    @classmethod
    def read(cls, text: str) -> "Checkpoint":
        """A checkpoint from its text, which has exactly three lines: what nobody can audit is not signed here.

        Raises:
            VerificationError: ``note_malformed``.
        """
        try:
            origin, size, root, rest = text.split("\n")
        except ValueError:
            origin = rest = ""
        if rest or not origin:
            raise malformed("ليس لها ثلاثة أسطر", "it has not three lines")
        if not _SIZE.fullmatch(size) or int(size) > LARGEST_SIZE:
            raise malformed("حجم السجل ليس عدداً سليماً", "the size is not a number")
        try:
            digest = standard_base64.decode(root)
        except ValueError:
            digest = b""
        if len(digest) != HASH_BYTES:
            raise malformed("جذر السجل ليس بصمة", "the root is no digest")
        return cls(origin, int(size), digest)


@dataclass(frozen=True, slots=True)
class LogKey:
    """The key of a log, by which its checkpoints are believed. Its name is the log's origin."""

    origin: str
    public: Ed25519PublicKey

    @classmethod
    def read(cls, text: str) -> "LogKey":
        """From its spelling as C2SP signed-note has it: name, key id in hex, kind and public key in base64.

        Raises:
            ValueError: ``text`` is no such thing, or not an Ed25519 key's.
        """
        found = _VERIFIER_KEY.fullmatch(text)
        if found is None:
            raise ValueError("no verifier key")
        kind, *public = standard_base64.decode(found[3])
        if kind != ED25519:
            raise ValueError(f"a key of kind {kind}")
        key = cls(found[1], Ed25519PublicKey.from_public_bytes(bytes(public)))
        if key.key_id.hex() != found[2]:
            raise ValueError("another key's id")
        return key

    @property
    def key_id(self) -> bytes:
        return note_key_id(self.origin, ED25519, self.public.public_bytes_raw())

    def __str__(self) -> str:
        public = standard_base64.encode(bytes([ED25519]) + self.public.public_bytes_raw())
        return f"{self.origin}+{self.key_id.hex()}+{public}"


@dataclass(frozen=True, slots=True)
class WitnessKey:
    """The key of a witness."""

    name: str
    public: MLDSA44PublicKey

    @property
    def key_id(self) -> bytes:
        return note_key_id(self.name, ML_DSA_44_COSIGNATURE, self.public.public_bytes_raw())


def sign_checkpoint(checkpoint: Checkpoint, key: Ed25519PrivateKey) -> SignedNote:
    """The note by which the log stands by ``checkpoint`` for good. Whoever calls this has committed it before."""
    name = require_key_name(checkpoint.origin)
    text = checkpoint.text
    key_id = LogKey(name, key.public_key()).key_id
    return SignedNote(text, (NoteSignature(name, key_id, key.sign(text.encode())),))


def open_checkpoint(raw: bytes, log: LogKey) -> tuple[Checkpoint, SignedNote]:
    """The checkpoint in ``raw``, if ``log`` has signed it and it is of that log.

    Raises:
        VerificationError: ``note_malformed``, ``note_not_signed``.
    """
    note = SignedNote.read(raw)
    values = note.by(log.origin, log.key_id)
    unsigned = VerificationError(ErrorCode.NOTE_NOT_SIGNED, signer=log.origin)
    if not values:
        raise unsigned
    for value in values:
        # One that is wrong spoils the note, whatever stands beside it.
        try:
            log.public.verify(value, note.text.encode())
        except InvalidSignature:
            raise unsigned from None
    checkpoint = Checkpoint.read(note.text)
    if checkpoint.origin != log.origin:
        raise unsigned
    return checkpoint, note


def cosign(checkpoint: Checkpoint, name: str, key: MLDSA44PrivateKey, seconds: int) -> NoteSignature:
    """The line of the witness ``name`` under ``checkpoint``, which it has seen at ``seconds`` Unix time."""
    message = _cosigned(checkpoint, require_key_name(name), seconds)
    key_id = WitnessKey(name, key.public_key()).key_id
    return NoteSignature(name, key_id, seconds.to_bytes(_TIME_BYTES, "big") + key.sign(message))


def cosigned_at(checkpoint: Checkpoint, note: SignedNote, witness: WitnessKey) -> int | None:
    """When ``witness`` has co-signed, in Unix seconds; None when it has not.

    Raises:
        VerificationError: ``note_not_signed``: there is a line by that key, and it is wrong.
    """
    times: list[int] = []
    for value in note.by(witness.name, witness.key_id):
        seconds = int.from_bytes(value[:_TIME_BYTES], "big")
        try:
            witness.public.verify(value[_TIME_BYTES:], _cosigned(checkpoint, witness.name, seconds))
        except InvalidSignature:
            raise VerificationError(ErrorCode.NOTE_NOT_SIGNED, signer=witness.name) from None
        times.append(seconds)
    return max(times, default=None)


def _cosigned(checkpoint: Checkpoint, name: str, seconds: int) -> bytes:
    """``cosigned_message`` of C2SP tlog-cosignature, for a whole tree."""
    return b"".join(
        (
            _COSIGNED_LABEL,
            _counted(name),
            seconds.to_bytes(_TIME_BYTES, "big"),
            _counted(checkpoint.origin),
            (0).to_bytes(8, "big"),
            checkpoint.size.to_bytes(8, "big"),
            checkpoint.root,
        )
    )


def _counted(name: str) -> bytes:
    raw = name.encode()
    if not 0 < len(raw) <= LONGEST_NAME:
        raise ValueError(f"{len(raw)} bytes of name")
    return bytes([len(raw)]) + raw
