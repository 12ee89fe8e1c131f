"""Reading the frames that no honest publisher sends.

Whoever has an account may put any bytes into the properties of a message and into its routing key: header
names that are no UTF-8, a timestamp in the year 584556019, tables nested a thousand deep, 128 KiB of empty
headers. The broker passes them on as they are. ``pamqp`` raises on them, ``aiormq`` then gives up the
connection, and the broker delivers the same message again: one message would stop an agency's mail until the
delivery limit, and count against every healthy letter in the prefetch window as well.

So :func:`tolerate` makes ``pamqp`` read such a message as one with the header :data:`UNREADABLE`. That
is a foreign header, and the adapter treats the message as the incident that it is. The offset that the broker sets in
what it delivers from a stream is found all the same: without it the journal's reader could not go on. It replaces two
methods of the library for the whole process; the tests on the real broker fail if they change their meaning.
"""

import struct
from typing import Any

from pamqp.commands import Basic
from pamqp.header import ContentHeader

UNREADABLE = "x-unreadable-properties"
LARGEST_PROPERTIES = 32 * 1024
"""Bytes. Ours are a few hundred, with the statement of a dead letter some thousand. Larger ones are not read
at all: the library's time grows with the square of the size."""

OFFSET_HEADER = "x-stream-offset"
_FIXED = struct.Struct(">HHQ")
_CONTENT_TYPE, _CONTENT_ENCODING, _HEADERS = 1 << 15, 1 << 14, 1 << 13
_SIZES = {
    **dict.fromkeys(b"tbB", 1),
    **dict.fromkeys(b"sUu", 2),
    **dict.fromkeys(b"Iif", 4),
    **dict.fromkeys(b"LlTd", 8),
    ord("D"): 5,
    ord("V"): 0,
}
"""Bytes of a value of each type of a header table that does not say its length itself."""
_read_header = ContentHeader.unmarshal
_read_deliver = Basic.Deliver.unmarshal


def tolerate() -> None:
    """From now on no content of a message can end a connection of this process. May be called again."""
    frames: Any = ContentHeader
    frames.unmarshal = _tolerant_header
    frames = Basic.Deliver
    frames.unmarshal = _tolerant_deliver


def _tolerant_header(header: ContentHeader, data: bytes) -> None:
    if len(data) <= LARGEST_PROPERTIES and _readable(header, data):
        found = header.properties.headers
        if found and OFFSET_HEADER in found:
            found[OFFSET_HEADER] = stream_offset(data)
        return
    fixed: Any = header
    fixed.class_id, fixed.weight, fixed.body_size = _FIXED.unpack_from(data)
    headers: dict[str, Any] = {UNREADABLE: len(data)}
    offset = stream_offset(data)
    header.properties = Basic.Properties(headers=headers if offset is None else headers | {OFFSET_HEADER: offset})


def stream_offset(data: bytes) -> int | None:
    """The broker's offset in a content header that cannot be read as a whole; None when there is none.

    Walks over the top of the header table and into nothing, so that it takes time in proportion to the bytes. Of
    several headers of this name the first is the broker's: it replaces the first that a publisher has set, and leaves
    the others, of which the library would take the last.
    """
    try:
        return _walk(data)
    except (IndexError, KeyError, struct.error):
        return None


def _walk(data: bytes) -> int | None:
    (flags,) = struct.unpack_from(">H", data, _FIXED.size)
    at = _FIXED.size + 2
    for flag in (_CONTENT_TYPE, _CONTENT_ENCODING):
        if flags & flag:
            at += 1 + data[at]
    if not flags & _HEADERS:
        return None
    end = at + 4 + struct.unpack_from(">I", data, at)[0]
    at += 4
    while at < end:
        name = data[at + 1 : at + 1 + data[at]]
        at += 1 + data[at]
        kind, at = data[at], at + 1
        if name == OFFSET_HEADER.encode() and kind == ord("l"):
            return int(struct.unpack_from(">q", data, at)[0])
        at += _SIZES[kind] if kind in _SIZES else 4 + struct.unpack_from(">I", data, at)[0]
    return None


def _readable(header: ContentHeader, data: bytes) -> bool:
    try:
        _read_header(header, data)
    except Exception:  # noqa: BLE001 - whatever the library trips over (RecursionError too), the answer is no
        return False
    return True


def _tolerant_deliver(method: Basic.Deliver, data: bytes) -> None:
    try:
        _read_deliver(method, data)
    except ValueError:
        method.consumer_tag, rest = _short_string(data)
        method.delivery_tag, flags = struct.unpack_from(">QB", rest)
        method.redelivered = bool(flags & 1)
        method.exchange, rest = _short_string(rest[9:])
        method.routing_key, _ = _short_string(rest)


def _short_string(data: bytes) -> tuple[str, bytes]:
    end = data[0] + 1
    return data[1:end].decode("utf-8", "backslashreplace"), data[end:]
