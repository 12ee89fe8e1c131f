"""What is read from a stream has the offset that the broker gave it, whatever its publisher wrote into the headers."""

import asyncio
import struct

import pytest

from broker.consuming import Subscription
from broker.frames import OFFSET_HEADER, stream_offset
from broker.names import JOURNAL, from_exchange
from broker.session import Session
from broker.topology import LOG_USER
from tests.broker.bed import Broker, Mail
from tests.broker.test_frames import BODY, EXCHANGE, KEY, UNREADABLE_MESSAGES, Publish


def _offset(value: int) -> bytes:
    return b"\x0fx-stream-offsetl" + struct.pack(">q", value)


NO_UTF8 = b"\x02\xff\xfeS\0\0\0\x01a"
EVERY_TYPE = (
    b"\x01at\x01\x01bb\x01\x01cB\x01\x01ds\0\x01\x01eu\0\x01\x01fI\0\0\0\x01\x01gi\0\0\0\x01"
    b"\x01hl\0\0\0\0\0\0\0\x01\x01if\0\0\0\0\x01jd\0\0\0\0\0\0\0\0\x01lS\0\0\0\x01a"
    b"\x01mA\0\0\0\x02t\x01\x01nT\0\0\0\0\0\0\0\x01\x01oF\0\0\0\x04\x01at\x01\x01pV\x01qx\0\0\0\x01a"
)
HOSTILE: dict[str, Publish] = UNREADABLE_MESSAGES | {
    "a forged offset": lambda raw: raw.publish_raw_headers(EXCHANGE, KEY, _offset(7), BODY),
    "two forged offsets": lambda raw: raw.publish_raw_headers(EXCHANGE, KEY, _offset(7) + _offset(9), BODY),
    "forged offsets in what cannot be read": lambda raw: raw.publish_raw_headers(
        EXCHANGE, KEY, _offset(7) + NO_UTF8 + _offset(9), BODY
    ),
    "values of every type before it": lambda raw: raw.publish_raw_headers(EXCHANGE, KEY, EVERY_TYPE + NO_UTF8, BODY),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_stream_delivery_has_the_offset_of_the_broker_whatever_its_publisher_set(
    broker: Broker, name: str
) -> None:
    def publish() -> None:
        with broker.raw("MPW") as raw:
            assert raw.publish(EXCHANGE, KEY, b"before") == "ack"
            assert HOSTILE[name](raw) == "ack"
            assert raw.publish(EXCHANGE, KEY, f"after {name}".encode()) == "ack"

    await asyncio.to_thread(publish)
    mail = Mail()
    journal = Subscription((JOURNAL,), mail, lambda: {OFFSET_HEADER: "first"})
    session = Session(broker.address(LOG_USER), from_exchange("TRSL"), {}, "test journal", subscriptions=[journal])
    session.start()
    await mail.until(lambda: bool(mail.deliveries) and mail.deliveries[-1].body == f"after {name}".encode())
    await session.stop()
    offsets = [delivery.headers[OFFSET_HEADER] for delivery in mail.deliveries]
    assert offsets == list(range(offsets[0], offsets[0] + len(offsets)))
    assert [delivery.body for delivery in mail.deliveries[-3:-1]] == [b"before", BODY]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 14,
        struct.pack(">HHQH", 60, 0, 0, 1 << 13),
        struct.pack(">HHQHI", 60, 0, 0, 1 << 13, 500) + b"\x01aS\0\0\xff\xff",
        struct.pack(">HHQHI", 60, 0, 0, 1 << 13, 26) + b"\x0fx-stream-offsetS\0\0\0\0",
        struct.pack(">HHQHI", 60, 0, 0, 1 << 13, 4) + b"\x01a\xff\0",
    ],
)
def test_a_header_without_an_offset_has_none(data: bytes) -> None:
    assert stream_offset(data) is None
