"""JSON that two readers cannot read differently: I-JSON (RFC 7493), without fractions, in normal form NFC.

    claims = parse(payload, max_bytes=262_144)

``json`` keeps the last of duplicate members, takes NaN and halves of surrogate pairs; each of these lets one
signed text mean two things, so each is refused here, with a code of its own.
"""

import json
import re
import unicodedata
from collections.abc import Iterator
from typing import Any

from schemas.errors import ErrorCode
from schemas.text import not_nfc_from
from trust.errors import VerificationError

MOST_DEPTH = 32
LARGEST_INTEGER = 2**53 - 1
"""RFC 7493 §2.2: beyond it, readers that compute in doubles see another number."""
_LONGEST_INTEGER = len(str(-LARGEST_INTEGER))
# RFC 7493 §2.1. Their UTF-8 has EF B7, BF BE or BF BF, which Arabic and Latin text hardly ever has.
_NONCHARACTER = re.compile(
    "[\ufdd0-\ufdef" + "".join(chr(plane << 16 | low) for plane in range(17) for low in (0xFFFE, 0xFFFF)) + "]"
)


def parse(raw: bytes, *, max_bytes: int, max_depth: int = MOST_DEPTH) -> dict[str, Any]:
    """Read one JSON object strictly.

    Args:
        raw: UTF-8, without a byte order mark.
        max_bytes: longest text taken.
        max_depth: deepest nesting taken; the outermost object is depth 1.

    Raises:
        VerificationError: ``payload_too_large``, ``json_malformed``, ``payload_not_object``,
            ``payload_member_duplicate``, ``payload_too_deep``, ``number_not_integer``, ``number_not_finite``,
            ``number_out_of_range``, ``surrogate_lone``, ``text_not_nfc`` or ``text_forbidden_character``.
    """
    if len(raw) > max_bytes:
        raise VerificationError(ErrorCode.PAYLOAD_TOO_LARGE, size=len(raw), limit=max_bytes)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _malformed(f"ليس بترميز UTF-8 عند البايت {error.start}", f"not UTF-8 at byte {error.start}") from None
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise _malformed(f"خطأ عند الحرف {error.pos}", f"{error.msg} at character {error.pos}") from None
    except RecursionError:
        raise VerificationError(ErrorCode.PAYLOAD_TOO_DEEP, limit=max_depth) from None
    if type(value) is not dict:
        raise VerificationError(ErrorCode.PAYLOAD_NOT_OBJECT)
    # Fewer brackets than levels cannot be too deep: ordinary letters never take the walk.
    if raw.count(b"{") + raw.count(b"[") > max_depth:
        _check_depth(value, max_depth)
    # The text as a whole is in NFC if and only if all its strings are (nothing composes with a quotation
    # mark), but for escapes; those, and a text that is not, are looked at string by string.
    if (
        b"\\u" in raw
        or not unicodedata.is_normalized("NFC", text)
        or b"\xef\xb7" in raw
        or b"\xbf\xbe" in raw
        or b"\xbf\xbf" in raw
    ):
        _check_strings(value)
    return value


def dump(value: object) -> bytes:
    """Compact UTF-8 JSON of ``value``.

    Raises:
        TypeError: for a float, or what JSON does not know: a mistake of the caller's, never of a sender's.
    """
    if _has_float(value):
        raise TypeError("floats are not written: amounts are integers of fils")
    return _ENCODER.encode(value).encode("utf-8")


def _malformed(ar: str, en: str) -> VerificationError:
    return VerificationError(ErrorCode.JSON_MALFORMED, problem_ar=ar, problem=en)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise VerificationError(ErrorCode.PAYLOAD_MEMBER_DUPLICATE, member=name)
            seen.add(name)
    return members


def _integer(digits: str) -> int:
    if len(digits) <= _LONGEST_INTEGER:
        number = int(digits)
        if -LARGEST_INTEGER <= number <= LARGEST_INTEGER:
            return number
    raise VerificationError(ErrorCode.NUMBER_OUT_OF_RANGE)


def _fraction(_digits: str) -> float:
    raise VerificationError(ErrorCode.NUMBER_NOT_INTEGER)


def _constant(_name: str) -> float:
    raise VerificationError(ErrorCode.NUMBER_NOT_FINITE)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_fraction, parse_constant=_constant
)
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _check_depth(value: dict[str, Any], max_depth: int) -> None:
    level: list[Any] = [value]
    for _ in range(max_depth):
        level = [
            child
            for container in level
            for child in (container.values() if type(container) is dict else container)
            if type(child) is dict or type(child) is list
        ]
        if not level:
            return
    raise VerificationError(ErrorCode.PAYLOAD_TOO_DEEP, limit=max_depth)


def _check_strings(value: dict[str, Any]) -> None:
    for pointer, text in _strings(value, ""):
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise VerificationError(ErrorCode.SURROGATE_LONE, pointer=_readable(pointer))
        if not unicodedata.is_normalized("NFC", text):
            raise VerificationError(ErrorCode.TEXT_NOT_NFC, pointer=pointer, position=not_nfc_from(text))
        if found := _NONCHARACTER.search(text):
            raise VerificationError(
                ErrorCode.TEXT_FORBIDDEN_CHARACTER,
                pointer=pointer,
                character=f"U+{ord(found[0]):04X}",
                position=found.start(),
            )


def _strings(value: Any, pointer: str) -> Iterator[tuple[str, str]]:
    if type(value) is str:
        yield pointer, value
    elif type(value) is dict:
        for name, member in value.items():
            yield pointer, name
            yield from _strings(member, f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}")
    elif type(value) is list:
        for index, item in enumerate(value):
            yield from _strings(item, f"{pointer}/{index}")


def _readable(pointer: str) -> str:
    return pointer.encode("utf-8", "replace").decode("utf-8")


def _has_float(value: object) -> bool:
    if isinstance(value, dict):
        return any(_has_float(member) for member in value.values())
    if isinstance(value, list | tuple):
        return any(_has_float(item) for item in value)
    return isinstance(value, float)
