"""No content of a message ends the connection that it arrives on."""

import asyncio
import struct
from collections.abc import Callable

import pytest

from broker.consuming import Delivery
from broker.first_account import TOPOLOGY_USER
from broker.frames import LARGEST_PROPERTIES, UNREADABLE, tolerate
from tests.broker.bed import MOF_ROUTINE, Broker, Mail, Sessions
from tests.support.raw_client import RawClient

EXCHANGE, KEY, BODY = "from.MPW", "MOF.routine", b"1 hostile"
Publish = Callable[[RawClient], str]


def _nested(depth: int) -> bytes:
    """A header table with tables in it, ``depth`` deep."""
    table = b""
    for _ in range(depth):
        table = b"\x01aF" + struct.pack(">I", len(table)) + table
    return table


def _many(size: int) -> bytes:
    """A header table of about ``size`` bytes: empty strings under different names."""
    return b"".join(b"\x04" + struct.pack(">I", n).hex()[4:].encode() + b"S\0\0\0\0" for n in range(size // 10))


UNREADABLE_MESSAGES: dict[str, Publish] = {
    "header name is no UTF-8": lambda raw: raw.publish_raw_headers(EXCHANGE, KEY, b"\x02\xff\xfeS\0\0\0\x01a", BODY),
    "message id is no UTF-8": lambda raw: raw.publish_raw_message_id(EXCHANGE, KEY, b"\xff\xfe", BODY),
    "a timestamp in the year 584556019": lambda raw: raw.publish_raw_timestamp(EXCHANGE, KEY, 2**64 - 1, BODY),
    "tables a thousand deep": lambda raw: raw.publish_raw_headers(EXCHANGE, KEY, _nested(1_000), BODY),
    "a header table of 100 KiB": lambda raw: raw.publish_raw_headers(EXCHANGE, KEY, _many(100 * 1024), BODY),
    "just past the largest that is read": lambda raw: raw.publish(
        EXCHANGE, KEY, BODY, headers={"statement": "s" * LARGEST_PROPERTIES}
    ),
}


@pytest.mark.parametrize("name", UNREADABLE_MESSAGES)
async def test_a_message_with_hostile_properties_arrives_as_unreadable_and_the_next_one_too(
    broker: Broker, sessions: Sessions, name: str
) -> None:
    mail = Mail()
    receiver = await sessions.ready("MOF", {MOF_ROUTINE: mail})

    def attack() -> list[str]:
        with broker.raw("MPW") as raw:
            hostile = UNREADABLE_MESSAGES[name](raw)
            return [hostile, raw.publish(EXCHANGE, KEY, b"2 honest")]

    assert await asyncio.to_thread(attack) == ["ack", "ack"]
    await mail.handled(2)
    first, second = mail.deliveries
    assert (first.body, set(first.headers), first.exchange) == (BODY, {UNREADABLE}, EXCHANGE)
    assert (second.body, second.content_type) == (b"2 honest", "application/jose")
    assert receiver.connects == 1


async def test_a_routing_key_that_is_no_utf_8_arrives_escaped(broker: Broker, sessions: Sessions) -> None:
    """An agency's topic permission refuses it; an account without that second fence gets it through."""
    mail = Mail()
    receiver = await sessions.ready("tarasul-audit", {"dead-letter": mail})

    def attack(user: str) -> str:
        with broker.raw(user) as raw:
            return raw.publish_raw_routing_key(EXCHANGE, b"MOF.\xff\xfe", BODY)

    assert await asyncio.to_thread(attack, "MPW") == "403"
    assert await asyncio.to_thread(attack, TOPOLOGY_USER) == "ack"
    await mail.handled(1)
    assert (mail.deliveries[0].routing_key, mail.deliveries[0].body) == (r"MOF.\xff\xfe", BODY)
    assert receiver.connects == 1


def test_tolerating_twice_changes_nothing() -> None:
    from pamqp.header import ContentHeader  # noqa: PLC0415 - the library itself is looked at

    before = ContentHeader.unmarshal
    tolerate()
    assert ContentHeader.unmarshal is before


async def test_an_honest_message_is_read_in_full(broker: Broker, sessions: Sessions) -> None:
    mail = Mail()
    await sessions.ready("MOF", {MOF_ROUTINE: mail})

    def publish() -> str:
        with broker.raw("MPW") as raw:
            return raw.publish(EXCHANGE, KEY, b"1 ", headers={"statement": "a.b.c", "n": 5}, expiration="600000")

    assert await asyncio.to_thread(publish) == "ack"
    await mail.handled(1)
    [delivery] = mail.deliveries
    assert isinstance(delivery, Delivery)
    assert (delivery.headers["statement"], delivery.headers["n"], delivery.expiration) == ("a.b.c", 5, "600000")
