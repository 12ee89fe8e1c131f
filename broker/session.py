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
* ``draining``: finishing the batch in hand, taking nothing new; what follows is ``down``, whatever the broker says;
* ``down``: stopped.

Whatever ends a life of the session, an exception nobody foresaw included, the next one is built, with the
certificates as they are on the disk then. Should the supervisor itself fail, :attr:`Session.failed` says why.
"""

import asyncio
import contextlib
import random
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum

import aiormq
import structlog
from aio_pika.abc import AbstractConnection

from broker.connection import BrokerAddress, connect
from broker.consuming import AfterAck, Delivery, Handler, Subscription, Worker, absent_queues
from broker.life import Life
from broker.publishing import Outcome, Outgoing, Publisher

__all__ = ["AfterAck", "Delivery", "Handler", "Session", "SessionState", "Subscription"]

OPEN_TIMEOUT_SECONDS = 30.0
CONFIRM_TIMEOUT_SECONDS = 30.0
SHORTEST_WAIT_SECONDS = 0.2
LONGEST_WAIT_SECONDS = 15.0
CLOSE_TIMEOUT_SECONDS = 5.0
BLOCKED_POLL_SECONDS = 0.5
ABSENT_POLL_SECONDS = 2.0

_log = structlog.get_logger("session")
_dice = random.SystemRandom()


class SessionState(StrEnum):
    """See the module's docstring."""

    CONNECTING = "connecting"
    READY = "ready"
    BLOCKED = "blocked"
    DRAINING = "draining"
    DOWN = "down"


class SessionLost(Exception):  # noqa: N818 - not an error: a reason to rebuild
    """Something of the session is gone."""


class _Build:
    """One life of a session: what was built for it, and the first thing of it that was lost."""

    def __init__(self) -> None:
        self.fault: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.connections: list[AbstractConnection] = []
        self.workers: list[Worker] = []

    def lose(self, reason: str) -> None:
        if not self.fault.done():
            self.fault.set_result(reason)

    def watch(self, connection: AbstractConnection, what: str) -> None:
        self.connections.append(connection)
        # `connection.is_closed` stays False after the broker closed it; the callback is right.
        connection.close_callbacks.add(lambda _connection, error: self.lose(f"{what} closed: {error}"))

    async def channel(self, connection: AbstractConnection, what: str, *, confirms: bool) -> aiormq.abc.AbstractChannel:
        channel = connection.channel(publisher_confirms=confirms)
        await channel.initialize(timeout=CLOSE_TIMEOUT_SECONDS)
        underlying = await channel.get_underlay_channel()
        underlying.closing.add_done_callback(lambda _: self.lose(f"{what} closed"))
        return underlying

    async def end(self) -> None:
        for worker in self.workers:
            await worker.abandon()
        await asyncio.gather(*(_close(connection) for connection in self.connections))


class Session:
    """See the module's docstring.

    Args:
        address: broker nodes and transport certificate.
        exchange: the agency's own exchange, the only one it may publish to.
        handlers: for each queue that has a worker of its own, its handler.
        name: shown at the broker.
        subscriptions: further workers, for what is not one queue from where it stands.
    """

    def __init__(
        self,
        address: BrokerAddress,
        exchange: str,
        handlers: Mapping[str, Handler],
        name: str,
        *,
        subscriptions: Sequence[Subscription] = (),
    ) -> None:
        self._address = address
        self._exchange = exchange
        self._subscriptions = [Subscription((queue,), handler) for queue, handler in handlers.items()]
        self._subscriptions += subscriptions
        self._name = name
        self._publisher: Publisher | None = None
        self._changed = asyncio.Event()
        self._build: _Build | None = None
        self._stopping = asyncio.Event()
        self._life = Life("session")
        self._ready_at: float | None = None
        self.state = SessionState.DOWN
        self.since = time.monotonic()
        self.last_error: str | None = None
        self.absent: tuple[str, ...] = ()
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

    def begin_anew(self, reason: str) -> None:
        """End this life of the session and build the next; what is unacknowledged is delivered again."""
        self._break(reason)

    # -- the supervisor --------------------------------------------------------------------------------------

    def _become(self, state: SessionState) -> None:
        if state is self.state or (self.state is SessionState.DRAINING and state is not SessionState.DOWN):
            return
        self.state = state
        self.since = time.monotonic()
        self._changed.set()
        _log.info("session_state", state=state, session=self._name)
        for listener in self.on_change:
            listener(state)

    def _break(self, reason: str) -> None:
        if self._build is not None:
            self._build.lose(reason)

    async def _supervise(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            self._become(SessionState.CONNECTING)
            nodes = self._address.nodes
            node = nodes[failures % len(nodes)] if failures else _dice.choice(nodes)
            self._ready_at = None
            try:
                # Read anew for each life: a renewed certificate counts, and a missing one is waited for.
                await self._live(node, self._address.tls())
            except (Exception, asyncio.CancelledError) as error:
                if _cancelled():
                    raise
                # Whatever ends a session, it is rebuilt. The library ends its waiters by a cancellation of its own
                # when a connection dies.
                self.last_error = str(error) if isinstance(error, SessionLost) else f"{type(error).__name__}: {error}"
                _log.warning("session_lost", node=node, error=self.last_error)
            if self._stopping.is_set():
                return
            # A session that lived is worth an immediate new try; one that fails at once is not.
            lived = self._ready_at is not None and time.monotonic() - self._ready_at > LONGEST_WAIT_SECONDS
            failures = 0 if lived else failures + 1
            longest = min(LONGEST_WAIT_SECONDS, SHORTEST_WAIT_SECONDS * 2 ** min(failures, 10))
            await self._pause(_dice.uniform(longest / 2, longest))

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    async def _live(self, node: str, tls: ssl.SSLContext) -> None:
        """One life of the session, from connecting to the first loss or the stop."""
        build = self._build = _Build()
        stop = asyncio.create_task(self._stopping.wait())
        opening = asyncio.create_task(self._open(build, node, tls))
        tasks: list[asyncio.Task[object]] = [stop, opening]
        try:
            await asyncio.wait((opening, stop), return_when=asyncio.FIRST_COMPLETED)
            if not opening.done():
                return
            publishing, self._publisher = opening.result()
            self.connects += 1
            self._ready_at = time.monotonic()
            self._become(SessionState.READY)
            watchers = [asyncio.create_task(self._watch_blocked(publishing), name="watcher of alarms")]
            if self.absent:
                absent = self._watch_absent(build, self.absent)
                watchers.append(asyncio.create_task(absent, name="watcher of absent queues"))
            for watcher in watchers:
                # A life that nobody watches could stay blocked, or without a queue, for ever.
                watcher.add_done_callback(lambda task: build.lose(f"the {task.get_name()} ended"))
            tasks += watchers
            await asyncio.wait((build.fault, stop), return_when=asyncio.FIRST_COMPLETED)
            if build.fault.done():
                # Before the state changes: whoever looks at the state looks here for the reason.
                self.last_error = build.fault.result()
                raise SessionLost(self.last_error)
            self._become(SessionState.DRAINING)
            async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
                await asyncio.gather(*(worker.drain() for worker in build.workers))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if self._publisher is not None:
                self._publisher.close()
                self._publisher = None
            self._become(SessionState.CONNECTING)
            await build.end()

    async def _open(self, build: _Build, node: str, tls: ssl.SSLContext) -> tuple[AbstractConnection, Publisher]:
        """Build everything; each part is noted in ``build`` as soon as it is there, so that nothing is left open."""
        async with asyncio.timeout(OPEN_TIMEOUT_SECONDS):
            publishing = await connect(self._address, node, f"{self._name} publish", tls)
            build.watch(publishing, "publishing connection")
            channel = await build.channel(publishing, "publishing channel", confirms=True)
            publisher = Publisher(channel, self._exchange, CONFIRM_TIMEOUT_SECONDS)
            consuming = await connect(self._address, node, f"{self._name} consume", tls)
            build.watch(consuming, "consuming connection")
            absent: list[str] = []
            for wanted in self._subscriptions:
                subscription = wanted
                if wanted.some_may_be_absent:
                    absent += await absent_queues(consuming, wanted.queues)
                    subscription = replace(wanted, queues=tuple(q for q in wanted.queues if q not in absent))
                if not subscription.queues:
                    continue
                build.workers.append(Worker(subscription))
                channel = await build.channel(consuming, f"channel of {subscription.queues[0]}", confirms=False)
                await build.workers[-1].open(channel, build.lose)
            self.absent = tuple(absent)
            if absent:
                _log.error("queues_absent", session=self._name, queues=absent)
        return publishing, publisher

    async def _watch_absent(self, build: _Build, queues: Sequence[str]) -> None:
        """Begin anew when a queue that was absent is there."""
        while True:
            await asyncio.sleep(ABSENT_POLL_SECONDS)
            if len(await absent_queues(build.connections[-1], queues)) < len(queues):
                build.lose("a queue that was absent is there")

    async def _watch_blocked(self, connection: AbstractConnection) -> None:
        """Follow the broker's alarms. The library has no callback for them, only ``ready()``."""
        transport = connection.transport
        if transport is None:
            return
        while True:
            unblocked = asyncio.ensure_future(transport.ready())
            try:
                done, _ = await asyncio.wait((unblocked,), timeout=BLOCKED_POLL_SECONDS / 10)
                if not done:
                    self._become(SessionState.BLOCKED)
                    await unblocked
                    self._become(SessionState.READY)
            finally:
                unblocked.cancel()
            await asyncio.sleep(BLOCKED_POLL_SECONDS)


async def _close(connection: AbstractConnection) -> None:
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
            await connection.close()
    except (Exception, asyncio.CancelledError) as error:
        if _cancelled():
            raise
        # The session is ending; what matters was committed before.
        _log.debug("close_failed", error=repr(error))


def _cancelled() -> bool:
    """Whether somebody cancelled this task; the library's own cancellations of what waits for it are not that."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
