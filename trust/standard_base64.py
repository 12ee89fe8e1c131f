"""Base64 as RFC 4648 §4 has it, with exactly one spelling for every byte string: padded, and no surplus bits."""

import binascii


def encode(raw: bytes) -> str:
    """Canonical base64 of ``raw``."""
    return binascii.b2a_base64(raw, newline=False).decode("ascii")


def decode(text: str) -> bytes:
    """The bytes that ``text`` stands for.

    Raises:
        ValueError: for anything but the one canonical spelling.
    """
    raw = binascii.a2b_base64(text, strict_mode=True)
    if encode(raw) != text:
        raise ValueError("not canonical")
    return raw
