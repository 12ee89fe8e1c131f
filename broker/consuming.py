"""Consuming a queue in batches: what has arrived is handled together and acknowledged with one ack.

A handler returns only after its commit; then the whole batch is acknowledged. What is in flight when the channel goes
was not acknowledged, and the broker delivers it again.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiormq
import structlog
from aio_pika.abc import AbstractConnection
from aiormq.exceptions import ChannelAccessRefused, ChannelNotFoundEntity

from schemas.errors import Refused

PREFETCH = 500
"""Messages that the broker may have under way to one worker."""

BATCH = 128
"""Messages given to a handler at once: some ten milliseconds of verifying, so that the loop stays responsive."""

SHORTEST_RETRY_SECONDS = 0.2
LONGEST_RETRY_SECONDS = 15.0

_log = structlog.get_logger("session")


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message as the broker delivered it. Nothing in it is trusted.

    Attributes:
        queue: from which it was consumed.
        exchange: to which it was published, as the broker reports it.
        routing_key: as delivered.
        body: the bytes.
        headers: AMQP headers, the publisher's and the broker's.
        content_type: as the publisher set it.
        expiration: the publisher's per-message time to live, if any.
        redelivered: delivered before, and not acknowledged then.
    """

    queue: str
    exchange: str
    routing_key: str
    body: bytes
    headers: Mapping[str, Any]
    content_type: str | None
    expiration: str | None
    redelivered: bool


AfterAck = Callable[[], None]
Handler = Callable[[Sequence[Delivery]], Awaitable[AfterAck | None]]
"""Takes a batch; returns after its commit, with what is to be done once the batch has been acknowledged."""

Arguments = Callable[[], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Subscription:
    """What one worker consumes.

    Attributes:
        queues: over one channel, in turn as messages arrive; each batch may hold messages of several.
        handler: gets each batch. When it raises :class:`Refused` (the store cannot be written for now) the batch is
            kept, unacknowledged, and given to it again. When it raises anything else the worker has failed: the
            session is rebuilt and the broker delivers the batch again.
        arguments: of each consumer, asked for each time it begins: where to begin in a stream.
        some_may_be_absent: a queue that is not there is left out, and taken up when it is there again; otherwise the
            session is not ready without it.
    """

    queues: tuple[str, ...]
    handler: Handler
    arguments: Arguments = dict
    some_may_be_absent: bool = False


async def absent_queues(connection: AbstractConnection, queues: Sequence[str]) -> list[str]:
    """Those of ``queues`` that the broker does not have; asked on channels of their own, as an absent one closes it."""
    absent: list[str] = []
    channel: aiormq.abc.AbstractChannel | None = None
    for queue in queues:
        if channel is None:
            opened = connection.channel(publisher_confirms=False)
            await opened.initialize()
            channel = await opened.get_underlay_channel()
        try:
            await channel.queue_declare(queue, passive=True)
        except ChannelNotFoundEntity:
            absent.append(queue)
            channel = None
        except ChannelAccessRefused:
            # In 4.2.6 and 4.3.0 a look takes a permission that no agency has; consuming will tell.
            channel = None
    if channel is not None:
        await channel.close()
    return absent


class Worker:
    """Consumes the queues of one subscription over one channel."""

    def __init__(self, subscription: Subscription) -> None:
        self._queues = subscription.queues
        self._name = ", ".join(subscription.queues[:2]) + ("…" if len(subscription.queues) > 2 else "")  # noqa: PLR2004
        self._handler = subscription.handler
        self._arguments = subscription.arguments
        self._arrived: list[aiormq.abc.DeliveredMessage] = []
        self._event = asyncio.Event()
        self._draining = asyncio.Event()
        self._abandoned = False
        self._task: asyncio.Task[None] | None = None

    async def open(self, channel: aiormq.abc.AbstractChannel, on_loss: Callable[[str], None]) -> None:
        """Begin to consume; ``on_loss`` is told when that has ended though nobody asked for it."""
        self._channel = channel
        # A queue deleted under its consumer is announced by a cancel, nothing else.
        callbacks: Any = channel
        callbacks.on_consumer_cancel_callbacks.add(lambda _: on_loss(f"consumer of {self._name} cancelled"))
        await channel.basic_qos(prefetch_count=PREFETCH)
        for queue in self._queues:
            # The queue's name as the consumer's tag: a delivery names its consumer, not its queue.
            await channel.basic_consume(queue, self._take, consumer_tag=queue, arguments=dict(self._arguments()))
        self._task = asyncio.get_running_loop().create_task(self._work(), name=f"worker {self._name}")
        self._task.add_done_callback(lambda task: self._ended(task, on_loss))

    def _ended(self, task: asyncio.Task[None], on_loss: Callable[[str], None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("worker_failed", queue=self._name, exc_info=error)
            on_loss(f"worker of {self._name} failed: {type(error).__name__}")
        elif not self._abandoned and not self._draining.is_set():
            # A stray cancellation: the queue would have a consumer that takes and never acknowledges.
            on_loss(f"worker of {self._name} was cancelled")

    async def _take(self, message: aiormq.abc.DeliveredMessage) -> None:
        self._arrived.append(message)
        self._event.set()

    async def _work(self) -> None:
        while True:
            await self._event.wait()
            batch, self._arrived = self._arrived[:BATCH], self._arrived[BATCH:]
            if not self._arrived and not self._draining.is_set():
                self._event.clear()
            if not batch:
                return
            last = batch[-1].delivery_tag
            if last is None:
                raise ValueError("a delivery without a tag")
            after = await self._handle([_delivery(message) for message in batch])
            await self._channel.basic_ack(last, multiple=True)
            if after is not None:
                after()
            if self._draining.is_set():
                return

    async def _handle(self, batch: Sequence[Delivery]) -> AfterAck | None:
        wait = SHORTEST_RETRY_SECONDS
        while True:
            try:
                return await self._handler(batch)
            except Refused as refusal:
                # The store cannot take it now (full disk). It stays with the broker until it can.
                _log.error("batch_waits", queue=self._name, code=refusal.code, size=len(batch))
                if self._draining.is_set():
                    raise
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._draining.wait()
            wait = min(LONGEST_RETRY_SECONDS, wait * 2)

    async def drain(self) -> None:
        """Take nothing new, finish the batch in hand, give the rest back."""
        self._draining.set()
        self._event.set()
        for queue in self._queues:
            await self._channel.basic_cancel(queue)
        if self._task is not None:
            await asyncio.wait((self._task,))
        if self._arrived and (last := self._arrived[-1].delivery_tag) is not None:
            await self._channel.basic_nack(last, multiple=True, requeue=True)

    async def abandon(self) -> None:
        """Stop at once; what was not acknowledged is delivered again."""
        self._abandoned = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)


def _delivery(message: aiormq.abc.DeliveredMessage) -> Delivery:
    properties = message.header.properties
    return Delivery(
        queue=message.consumer_tag or "",
        exchange=message.exchange or "",
        routing_key=message.routing_key or "",
        body=message.body,
        headers=properties.headers or {},
        content_type=properties.content_type,
        expiration=properties.expiration,
        redelivered=bool(message.redelivered),
    )
