"""Identifiers: letters and receipts have a UUIDv7, agencies a short code."""

import re
from uuid import UUID

AUTHORITY = "TRSL"
"""The authority, as a participant."""

ECHO = "ECHO"
"""Answers every letter; for trying a connection."""

RESERVED = frozenset({AUTHORITY, ECHO})

AGENCY_CODE_PATTERN = "^[A-Z]{2,8}$"
UUID7_PATTERN = "^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"
DIGEST_PATTERN = "^[0-9a-f]{64}$"
"""SHA-256 of a token's JWS signing input."""

_AGENCY_CODE = re.compile("[A-Z]{2,8}")
_UUID7 = re.compile(UUID7_PATTERN[1:-1])
_RANDOM_BYTES = 10
_LAST_MS = (1 << 48) - 1


def uuid7(unix_ms: int, random_bytes: bytes) -> str:
    """A UUIDv7 (RFC 9562, 5.7) of ``unix_ms`` and ten random bytes, of which 74 bits are used.

    Raises:
        ValueError: if the time does not fit 48 bits or there are not ten bytes.
    """
    if not 0 <= unix_ms <= _LAST_MS or len(random_bytes) != _RANDOM_BYTES:
        raise ValueError("a UUIDv7 is made of 48 bits of time and 10 random bytes")
    noise = int.from_bytes(random_bytes, "big")
    value = unix_ms << 80 | 7 << 76 | (noise >> 68 & 0xFFF) << 64 | 0b10 << 62 | noise & ((1 << 62) - 1)
    return str(UUID(int=value))


def is_uuid7(text: str) -> bool:
    """Whether ``text`` is a UUIDv7 in lower case, as everything on the wire writes it."""
    return _UUID7.fullmatch(text) is not None


def is_agency_code(text: str) -> bool:
    """Whether ``text`` can be an agency's code (not whether there is such an agency)."""
    return _AGENCY_CODE.fullmatch(text) is not None
