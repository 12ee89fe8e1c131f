"""The AMQP session of one agency: two connections, one publisher, one consumer for each queue.

The session is a supervisor. It connects (one connection to publish, one to consume, so that a broker which
throttles publishers does not stop the mail coming in), opens the channels, and runs a worker for each queue. When
*anything* of it is lost (a connection, a channel, a consumer, a confirm that never comes) the whole of it is torn
down and built again, with jittered back-off over the list of nodes. There is no partial repair: half a session is
how letters get stuck.

A worker takes what has arrived as one batch, gives it to the queue's handler, and acknowledges the batch with one
``multiple`` ack after the handler has returned. So a handler returns only after its commit. What was in flight when
a session ends was not acknowledged, and the broker delivers it again.

States (:class:`SessionState`):

* ``connecting``: building, or waiting to build again;
* ``ready``: publishing and consuming;
* ``blocked``: the broker refuses publishers for now (memory or disk alarm); mail still comes in;
* ``draining``: finishing the batch in hand, taking nothing new;
* ``down``: stopped.

Whatever ends a life of the session, an exception nobody foresaw included, the next one is built, with the
certificates as they are on the disk then. Should the supervisor itself fail, :attr:`Session.failed` says why.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import aiormq
import structlog
from aio_pika.abc import AbstractConnection

from broker.connection import BrokerAddress, connect
from broker.life import Life
from broker.publishing import Outcome, Outgoing, Publisher
from schemas.errors import Refused

PREFETCH = 500
"""Messages that the broker may have under way to one worker."""

BATCH = 128
"""Messages given to a handler at once: some ten milliseconds of verifying, so that the loop stays responsive."""

CONFIRM_TIMEOUT_SECONDS = 30.0
SHORTEST_WAIT_SECONDS = 0.2
LONGEST_WAIT_SECONDS = 15.0
CLOSE_TIMEOUT_SECONDS = 5.0
BLOCKED_POLL_SECONDS = 0.5

_log = structlog.get_logger("session")


class SessionState(StrEnum):
    """See the module's docstring."""

    CONNECTING = "connecting"
    READY = "ready"
    BLOCKED = "blocked"
    DRAINING = "draining"
    DOWN = "down"


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


class _Lost(Exception):  # noqa: N818 - not an error: a reason to rebuild
    """Something of the session is gone."""


class Session:
    """See the module's docstring.

    Args:
        address: broker nodes and transport certificate.
        exchange: the agency's own exchange, the only one it may publish to.
        handlers: for each queue to consume, its handler.
        name: shown at the broker.
    """

    def __init__(self, address: BrokerAddress, exchange: str, handlers: Mapping[str, Handler], name: str) -> None:
        self._address = address
        self._exchange = exchange
        self._handlers = dict(handlers)
        self._name = name
        self._publisher: Publisher | None = None
        self._changed = asyncio.Event()
        self._fault: asyncio.Future[str] | None = None
        self._stopping = asyncio.Event()
        self._life = Life("session")
        self.state = SessionState.DOWN
        self.since = time.monotonic()
        self.last_error: str | None = None
        self.connects = 0
        self.on_change: list[Callable[[SessionState], None]] = []

    # -- for the owner ---------------------------------------------------------------------------------------

    def start(self) -> None:
        self._life.begin(self._supervise())

    @property
    def failed(self) -> asyncio.Future[None]:
        """Done, with the exception, once the session is built no more; see :mod:`broker.life`."""
        return self._life.failed

    async def stop(self) -> None:
        """Finish the batches in hand, return the rest to the broker, close."""
        self._stopping.set()
        await self._life.over()
        self._become(SessionState.DOWN)

    async def wait_for(self, *states: SessionState) -> SessionState:
        """Wait until the session is in one of ``states``."""
        while self.state not in states:
            self._changed.clear()
            await self._changed.wait()
        return self.state

    async def publish(self, messages: Sequence[Outgoing], written: Callable[[], None] | None = None) -> list[Outcome]:
        """Publish a batch; see :class:`broker.publishing.Outcome` for what each answer means for a letter.

        Never raises for a broken connection: that is the outcome ``LOST``.
        """
        publisher = self._publisher
        if publisher is None or self.state is not SessionState.READY:
            return [Outcome.LOST] * len(messages)
        outcomes = await publisher.publish(messages, written)
        if Outcome.LOST in outcomes and self._publisher is publisher and self.state is SessionState.READY:
            # Unanswered within the limit: the connection looks alive and is not.
            self._break("a publish was not answered")
        return outcomes

    # -- the supervisor --------------------------------------------------------------------------------------

    def _become(self, state: SessionState) -> None:
        if state is self.state:
            return
        self.state = state
        self.since = time.monotonic()
        self._changed.set()
        _log.info("session_state", state=state, session=self._name)
        for listener in self.on_change:
            listener(state)

    def _break(self, reason: str) -> None:
        if self._fault is not None and not self._fault.done():
            self._fault.set_result(reason)

    async def _supervise(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            self._become(SessionState.CONNECTING)
            nodes = self._address.nodes
            node = nodes[failures % len(nodes)] if failures else random.choice(nodes)  # noqa: S311 - spreads load
            began = time.monotonic()
            try:
                # Read anew for each life: a renewed certificate counts, and a missing one is waited for.
                await self._live(node, self._address.tls())
            except (Exception, asyncio.CancelledError) as error:
                if (task := asyncio.current_task()) is not None and task.cancelling():
                    raise
                # The library ends its waiters by a cancellation of its own when a connection dies.
                self.last_error = f"{type(error).__name__}: {error}"
                _log.warning("session_lost", node=node, error=self.last_error)
            if self._stopping.is_set():
                return
            # A session that lived is worth an immediate new try; one that fails at once is not.
            failures = 0 if time.monotonic() - began > LONGEST_WAIT_SECONDS else failures + 1
            longest = min(LONGEST_WAIT_SECONDS, SHORTEST_WAIT_SECONDS * 2 ** min(failures, 10))
            await self._pause(random.uniform(longest / 2, longest))  # noqa: S311 - jitter

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    async def _live(self, node: str, tls: Any) -> None:
        """One life of the session, from connecting to the first loss or the stop."""
        self._fault = asyncio.get_running_loop().create_future()
        connections: list[AbstractConnection] = []
        workers: list[_Worker] = []
        try:
            async with asyncio.timeout(30):
                publishing = await connect(self._address, node, f"{self._name} publish", tls)
                connections.append(publishing)
                self._watch(publishing, "publishing connection")
                channel = await self._channel(publishing, "publishing channel", confirms=True)
                publisher = Publisher(channel, self._exchange, CONFIRM_TIMEOUT_SECONDS)
                consuming = await connect(self._address, node, f"{self._name} consume", tls)
                connections.append(consuming)
                self._watch(consuming, "consuming connection")
                for queue, handler in self._handlers.items():
                    workers.append(_Worker(queue, handler))
                    channel = await self._channel(consuming, f"channel of {queue}", confirms=False)
                    await workers[-1].open(channel, self._break)
            self.connects += 1
            self._publisher = publisher
            self._become(SessionState.READY)
            watcher = asyncio.create_task(self._watch_blocked(publishing))
            stop = asyncio.create_task(self._stopping.wait())
            try:
                await asyncio.wait((self._fault, stop), return_when=asyncio.FIRST_COMPLETED)
            finally:
                watcher.cancel()
                stop.cancel()
                await asyncio.gather(watcher, stop, return_exceptions=True)
            if self._fault.done():
                raise _Lost(self._fault.result())
            self._become(SessionState.DRAINING)
            async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
                await asyncio.gather(*(worker.drain() for worker in workers))
        finally:
            if self._publisher is not None:
                self._publisher.close()
                self._publisher = None
            if self.state is not SessionState.DRAINING:
                self._become(SessionState.CONNECTING)
            for worker in workers:
                await worker.abandon()
            for connection in connections:
                await _close(connection)

    async def _channel(
        self, connection: AbstractConnection, what: str, *, confirms: bool
    ) -> aiormq.abc.AbstractChannel:
        channel = connection.channel(publisher_confirms=confirms)
        await channel.initialize(timeout=CLOSE_TIMEOUT_SECONDS)
        underlying = await channel.get_underlay_channel()
        underlying.closing.add_done_callback(lambda _: self._break(f"{what} closed"))
        return underlying

    def _watch(self, connection: AbstractConnection, what: str) -> None:
        # `connection.is_closed` stays False after the broker closed it; the callback is right.
        connection.close_callbacks.add(lambda _connection, error: self._break(f"{what} closed: {error}"))

    async def _watch_blocked(self, connection: AbstractConnection) -> None:
        """Follow the broker's alarms. The library has no callback for them, only ``ready()``."""
        transport = connection.transport
        if transport is None:
            return
        while True:
            unblocked = asyncio.ensure_future(transport.ready())
            done, _ = await asyncio.wait((unblocked,), timeout=BLOCKED_POLL_SECONDS / 10)
            if not done:
                self._become(SessionState.BLOCKED)
                try:
                    await unblocked
                finally:
                    unblocked.cancel()
                self._become(SessionState.READY)
            await asyncio.sleep(BLOCKED_POLL_SECONDS)


async def _close(connection: AbstractConnection) -> None:
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
            await connection.close()
    except Exception as error:  # noqa: BLE001 - the session is ending; what matters was committed before
        _log.debug("close_failed", error=repr(error))


class _Worker:
    """Consumes one queue over one channel."""

    def __init__(self, queue: str, handler: Handler) -> None:
        self._queue = queue
        self._handler = handler
        self._arrived: list[aiormq.abc.DeliveredMessage] = []
        self._event = asyncio.Event()
        self._draining = False
        self._task: asyncio.Task[None] | None = None

    async def open(self, channel: aiormq.abc.AbstractChannel, on_loss: Callable[[str], None]) -> None:
        self._channel = channel
        # A queue deleted under its consumer is announced by a cancel, nothing else.
        callbacks: Any = channel
        callbacks.on_consumer_cancel_callbacks.add(lambda _: on_loss(f"consumer of {self._queue} cancelled"))
        await channel.basic_qos(prefetch_count=PREFETCH)
        answer = await channel.basic_consume(self._queue, self._take)
        self._tag = answer.consumer_tag or ""
        self._task = asyncio.get_running_loop().create_task(self._work(), name=f"worker {self._queue}")
        self._task.add_done_callback(lambda task: self._ended(task, on_loss))

    def _ended(self, task: asyncio.Task[None], on_loss: Callable[[str], None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            _log.error("worker_failed", queue=self._queue, exc_info=task.exception())
            on_loss(f"worker of {self._queue} failed")

    async def _take(self, message: aiormq.abc.DeliveredMessage) -> None:
        self._arrived.append(message)
        self._event.set()

    async def _work(self) -> None:
        while True:
            await self._event.wait()
            batch, self._arrived = self._arrived[:BATCH], self._arrived[BATCH:]
            if not self._arrived and not self._draining:
                self._event.clear()
            if not batch:
                return
            last = batch[-1].delivery_tag
            if last is None:
                raise _Lost("a delivery without a tag")
            after = await self._handle([_delivery(self._queue, message) for message in batch])
            await self._channel.basic_ack(last, multiple=True)
            if after is not None:
                after()
            if self._draining:
                return

    async def _handle(self, batch: Sequence[Delivery]) -> AfterAck | None:
        wait = SHORTEST_WAIT_SECONDS
        while True:
            try:
                return await self._handler(batch)
            except Refused as refusal:
                # The store cannot take it now (full disk). It stays with the broker until it can.
                _log.error("batch_waits", queue=self._queue, code=refusal.code, size=len(batch))
                if self._draining:
                    raise
            await asyncio.sleep(wait)
            wait = min(LONGEST_WAIT_SECONDS, wait * 2)

    async def drain(self) -> None:
        """Take nothing new, finish the batch in hand, give the rest back."""
        await self._channel.basic_cancel(self._tag)
        self._draining = True
        self._event.set()
        if self._task is not None:
            await asyncio.wait((self._task,))
        if self._arrived and (last := self._arrived[-1].delivery_tag) is not None:
            await self._channel.basic_nack(last, multiple=True, requeue=True)

    async def abandon(self) -> None:
        """Stop at once; what was not acknowledged is delivered again."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)


def _delivery(queue: str, message: aiormq.abc.DeliveredMessage) -> Delivery:
    properties = message.header.properties
    return Delivery(
        queue=queue,
        exchange=message.exchange or "",
        routing_key=message.routing_key or "",
        body=message.body,
        headers=properties.headers or {},
        content_type=properties.content_type,
        expiration=properties.expiration,
        redelivered=bool(message.redelivered),
    )
