"""Where a stream ends now: its last offset, asked of the broker itself over a connection of its own."""

import asyncio
import contextlib
from typing import Any

import aiormq

from broker.connection import BrokerAddress, connect

QUIET_SECONDS = 1.0
"""The last chunk is delivered at once; after so long without a message there is none."""

LONGEST_SECONDS = 30.0


async def stream_end(address: BrokerAddress, queue: str) -> int | None:
    """The offset of the last message in the stream ``queue``; None when it is empty.

    Raises:
        Exception: what connecting or consuming raises, when no node answers; also ``TimeoutError``.
    """
    async with asyncio.timeout(LONGEST_SECONDS):
        last: Exception | None = None
        for node in address.nodes:
            try:
                return await _ask(address, node, queue)
            except Exception as error:  # noqa: BLE001 - another node may answer; the last one's failure is raised
                last = error
        raise last or RuntimeError("the address names no node")


async def _ask(address: BrokerAddress, node: str, queue: str) -> int | None:
    connection = await connect(address, node, f"end of {queue}", address.tls())
    async with connection:
        channel = connection.channel(publisher_confirms=False)
        await channel.initialize()
        underlying = await channel.get_underlay_channel()
        arrived = asyncio.Event()
        offsets: list[int] = []

        async def take(message: aiormq.abc.DeliveredMessage) -> None:
            headers: dict[str, Any] = dict(message.header.properties.headers or {})
            offsets.append(int(headers["x-stream-offset"]))
            arrived.set()

        await underlying.basic_qos(prefetch_count=1000)
        await underlying.basic_consume(queue, take, arguments={"x-stream-offset": "last"})
        with contextlib.suppress(TimeoutError):
            while True:
                async with asyncio.timeout(QUIET_SECONDS):
                    await arrived.wait()
                arrived.clear()
    return max(offsets, default=None)
