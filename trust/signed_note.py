"""Signed notes (C2SP signed-note): a short text, and lines with the signatures of whoever stands by it.

    note = SignedNote.read(raw)
    for value in note.by(name, key_id): ...

What is signed, and how, is the business of who uses it (:mod:`trust.checkpoint`). A signature by an unknown key is
passed over, as the format demands: anybody may add one.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Final

from schemas.errors import ErrorCode
from trust import standard_base64
from trust.errors import VerificationError

LARGEST_NOTE = 64 * 1024
"""Bytes; sixteen ML-DSA-44 signatures take 52 KiB."""

MOST_SIGNATURES = 32
KEY_ID_BYTES = 4
_SIGNATURE_LINE: Final = re.compile(r"— ([^\s+]+) ([!-~]+)")
_KEY_NAME: Final = re.compile(r"[^\s+]+")
_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f]")


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One line under a note.

    Attributes:
        name: of the key, as the line says.
        key_id: first four bytes of a hash over name, kind and public key; it tells keys apart and proves nothing.
        value: the signature itself.
    """

    name: str
    key_id: bytes
    value: bytes

    def __str__(self) -> str:
        return f"— {self.name} {standard_base64.encode(self.key_id + self.value)}\n"


@dataclass(frozen=True, slots=True)
class SignedNote:
    """``text`` ends with a line feed; the signatures are not believed by being here."""

    text: str
    signatures: tuple[NoteSignature, ...]

    @classmethod
    def read(cls, raw: bytes) -> "SignedNote":
        """Take a note apart.

        Raises:
            VerificationError: ``note_malformed``.
        """
        if len(raw) > LARGEST_NOTE:
            raise malformed("طوله يتجاوز الحد", "it is too long")
        try:
            whole = raw.decode("utf-8")
        except UnicodeDecodeError:
            raise malformed("ليست نصاً بترميز UTF-8", "it is not UTF-8") from None
        if _CONTROL.search(whole):
            raise malformed("فيها محرف تحكّم", "there is a control character in it")
        text, blank, lines = whole.rpartition("\n\n")
        if not blank or not lines.endswith("\n"):
            raise malformed("لا توقيع تحتها", "there is no signature under it")
        signatures = lines[:-1].split("\n")
        if len(signatures) > MOST_SIGNATURES:
            raise malformed("عدد التوقيعات يتجاوز الحد", "there are too many signatures")
        return cls(f"{text}\n", tuple(_read_signature(line) for line in signatures))

    def __bytes__(self) -> bytes:
        return f"{self.text}\n{''.join(map(str, self.signatures))}".encode()

    def by(self, name: str, key_id: bytes) -> list[bytes]:
        """Signatures that claim to be by this key."""
        return [each.value for each in self.signatures if each.name == name and each.key_id == key_id]


def note_key_id(name: str, kind: int, public: bytes) -> bytes:
    """The four bytes by which a key's signatures are found."""
    return hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()[:KEY_ID_BYTES]


def require_key_name(name: str) -> str:
    """``name``, if a key may bear it.

    Raises:
        ValueError: it is empty, or has a space or a plus.
    """
    if not _KEY_NAME.fullmatch(name):
        raise ValueError(f"no name of a key: {name!r}")
    return name


def malformed(ar: str, en: str) -> VerificationError:
    return VerificationError(ErrorCode.NOTE_MALFORMED, problem_ar=ar, problem=en)


def _read_signature(line: str) -> NoteSignature:
    found = _SIGNATURE_LINE.fullmatch(line)
    if found is None:
        raise malformed("سطر تحتها ليس توقيعاً", "a line under it is no signature")
    try:
        packed = standard_base64.decode(found[2])
    except ValueError:
        packed = b""
    if len(packed) <= KEY_ID_BYTES:
        raise malformed("سطر تحتها ليس توقيعاً", "a line under it is no signature")
    return NoteSignature(found[1], packed[:KEY_ID_BYTES], packed[KEY_ID_BYTES:])
