"""Reading the frames that no honest publisher sends.

Whoever has an account may put any bytes into the properties of a message and into its routing key: header
names that are no UTF-8, a timestamp in the year 584556019, tables nested a thousand deep, 128 KiB of empty
headers. The broker passes them on as they are. ``pamqp`` raises on them, ``aiormq`` then gives up the
connection, and the broker delivers the same message again: one message would stop an agency's mail until the
delivery limit, and count against every healthy letter in the prefetch window as well.

So :func:`tolerate` makes ``pamqp`` read such a message as one with the header :data:`UNREADABLE`. That
is a foreign header, and the adapter treats the message as the incident that it is. It replaces two methods of
the library for the whole process; the tests on the real broker fail if they change their meaning.
"""

import struct
from typing import Any

from pamqp.commands import Basic
from pamqp.header import ContentHeader

UNREADABLE = "x-unreadable-properties"
LARGEST_PROPERTIES = 32 * 1024
"""Bytes. Ours are a few hundred, with the statement of a dead letter some thousand. Larger ones are not read
at all: the library's time grows with the square of the size."""

_FIXED = struct.Struct(">HHQ")
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
        return
    fixed: Any = header
    fixed.class_id, fixed.weight, fixed.body_size = _FIXED.unpack_from(data)
    header.properties = Basic.Properties(headers={UNREADABLE: len(data)})


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
