"""Strict JSON from outside (I-JSON, RFC 7493): what two parsers could read differently is refused.

Duplicate members, floats, NaN, lone surrogates, integers past 2^53 - 1, text that is not NFC, and nesting past the
limit each have their own code.
"""

import json
import re
import unicodedata
from typing import Any, NoReturn

from schemas.errors import ErrorCode
from trust.errors import VerificationError

LARGEST_INTEGER = 2**53 - 1
_SURROGATE = re.compile("[\ud800-\udfff]")


def parse(raw: bytes, *, max_bytes: int, max_depth: int = 32) -> dict[str, Any]:
    """The object that ``raw`` spells.

    Args:
        raw: UTF-8 JSON.
        max_bytes: size at most.
        max_depth: nesting at most; an object with no nested value has depth 1.

    Raises:
        VerificationError: with the code of what is wrong.
    """
    if len(raw) > max_bytes:
        raise VerificationError(ErrorCode.PAYLOAD_TOO_LARGE, size=len(raw), limit=max_bytes)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise VerificationError(ErrorCode.JSON_MALFORMED, problem=str(error.reason)) from error
    # Brackets inside strings are counted too: then the slow count decides.
    if text.count("{") + text.count("[") > max_depth and _depth(text) > max_depth:
        raise VerificationError(ErrorCode.PAYLOAD_TOO_DEEP, limit=max_depth)
    escaped = "\\u" in text
    if not escaped and not unicodedata.is_normalized("NFC", text):
        raise VerificationError(ErrorCode.TEXT_NOT_NFC)
    try:
        value = _DECODER.decode(text)
    except VerificationError:
        raise
    except (ValueError, RecursionError) as error:
        raise VerificationError(ErrorCode.JSON_MALFORMED, problem=str(error)) from error
    if not isinstance(value, dict):
        raise VerificationError(ErrorCode.PAYLOAD_NOT_OBJECT)
    if escaped:
        _check_texts(value)
    return value


def dump(value: object) -> bytes:
    """Compact UTF-8 JSON.

    Raises:
        ValueError: for NaN and infinities. Floats never come from our models.
    """
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode("utf-8")


def _depth(text: str) -> int:
    depth = deepest = 0
    inside = escaped = False
    for character in text:
        if inside:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                inside = False
        elif character == '"':
            inside = True
        elif character in "{[":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "}]":
            depth -= 1
    return deepest


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise VerificationError(ErrorCode.PAYLOAD_MEMBER_DUPLICATE, member=name)
            seen.add(name)
    return members


def _integer(digits: str) -> int:
    # The length comes first: turning a million digits into a number takes its time.
    if len(digits) > 17 or abs(value := int(digits)) > LARGEST_INTEGER:  # noqa: PLR2004 - sign and 16 digits
        raise VerificationError(ErrorCode.NUMBER_OUT_OF_RANGE, number=digits[:40])
    return value


def _float(digits: str) -> NoReturn:
    raise VerificationError(ErrorCode.NUMBER_NOT_INTEGER, number=digits[:40])


def _constant(name: str) -> NoReturn:
    raise VerificationError(ErrorCode.NUMBER_NOT_FINITE, number=name)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_members, parse_int=_integer, parse_float=_float, parse_constant=_constant
)


def _check_texts(value: object) -> None:
    if isinstance(value, str):
        if _SURROGATE.search(value):
            raise VerificationError(ErrorCode.SURROGATE_LONE)
        if not unicodedata.is_normalized("NFC", value):
            raise VerificationError(ErrorCode.TEXT_NOT_NFC)
    elif isinstance(value, dict):
        for name, member in value.items():
            _check_texts(name)
            _check_texts(member)
    elif isinstance(value, list):
        for member in value:
            _check_texts(member)
