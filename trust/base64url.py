"""Base64url as RFC 7515 wants it: no padding, no other alphabet, and exactly one spelling for every byte string.

Python's own decoder skips what it does not know and ignores surplus bits, so that one token would have many spellings.
"""

import binascii

from schemas.errors import ErrorCode
from trust.errors import VerificationError

_DIGITS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
# What is not ours becomes "!", which the strict decoder refuses: padding, "+" and "/" too.
_TO_STANDARD = bytes(
    b"+/"[(b"-_").index(byte)] if byte in b"-_" else byte if byte in _DIGITS else ord("!") for byte in range(256)
)
_TO_URL = bytes.maketrans(b"+/", b"-_")
# The last character of a group of two carries four surplus bits, of a group of three two; they must be zero.
_LAST = {2: frozenset(_DIGITS[::16]), 3: frozenset(_DIGITS[::4])}
_PADDING = {0: b"", 2: b"==", 3: b"="}


def decode(text: bytes) -> bytes:
    """The bytes that ``text`` stands for.

    Raises:
        VerificationError: ``base64url_invalid`` for anything but the one canonical spelling.
    """
    rest = len(text) & 3
    if rest and (rest == 1 or text[-1] not in _LAST[rest]):
        raise VerificationError(ErrorCode.BASE64URL_INVALID)
    try:
        return binascii.a2b_base64(text.translate(_TO_STANDARD) + _PADDING[rest], strict_mode=True)
    except binascii.Error:
        raise VerificationError(ErrorCode.BASE64URL_INVALID) from None


def encode(raw: bytes) -> bytes:
    """Canonical base64url of ``raw``."""
    return binascii.b2a_base64(raw, newline=False).rstrip(b"=").translate(_TO_URL)
