"""Publishing a batch with one write and a confirm for each message.

``aio_pika`` publishes one message per coroutine and per socket write. A relay has hundreds to send, so this module
marshals a whole batch into one write on the channel that ``aio_pika`` opened, and registers a confirmation slot for
each message where the library looks for it. It touches three public attributes of the underlying ``aiormq`` channel
(``delivery_tag``, ``confirmations``, ``write_queue``); the library is pinned, and the session's tests on the real
broker fail if their meaning changes.
"""

import asyncio
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import aiormq
import pamqp.frame
import structlog
from aiormq.abc import ChannelFrame
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from broker.configuration import LARGEST_MESSAGE
from broker.frames import LARGEST_PROPERTIES

LARGEST_STATEMENT = LARGEST_PROPERTIES - 1024
"""Characters (ASCII). A larger one would arrive, and be unreadable there."""

_log = structlog.get_logger("publisher")


class Outcome(Enum):
    """What became of one published message.

    ``CONFIRMED``: every queue and the journal have it on disk.
    ``REFUSED``: the broker answered that it does not have it (a full mailbox). Publish it again later.
    ``LOST``: the connection ended before an answer. The broker may have it or not: publish it again; the
    recipient knows it by its digest.
    ``UNSENDABLE``: it was not sent, since no broker would take it: larger than the limit, or not expressible in AMQP.
    Sent all the same it would end the connection, and with it every other message, each time. A fault of ours, never
    a matter of waiting.
    """

    CONFIRMED = "confirmed"
    REFUSED = "refused"
    LOST = "lost"
    UNSENDABLE = "unsendable"


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One AMQP message to publish.

    Attributes:
        keys: the outbox rows that it carries (several receipts travel in one message).
        routing_key: where it goes.
        body: the bytes.
        content_type: of the body.
        statement: a signed token that speaks about the body, as the one header that we use.
    """

    keys: tuple[int, ...]
    routing_key: str
    body: bytes
    content_type: str
    statement: str | None = None


class _Slot:
    """Stands where aiormq expects a confirmation future; settles one message of a batch."""

    __slots__ = ("_batch", "_index")

    def __init__(self, batch: "_Batch", index: int) -> None:
        self._batch = batch
        self._index = index

    def done(self) -> bool:
        return self._batch.outcomes[self._index] is not None

    def cancelled(self) -> bool:
        return False

    def set_result(self, _frame: object) -> None:
        self._batch.settle(self._index, Outcome.CONFIRMED)

    def set_exception(self, _error: BaseException) -> None:
        self._batch.settle(self._index, Outcome.REFUSED)


class _Batch:
    __slots__ = ("open", "outcomes", "settled")

    def __init__(self, size: int) -> None:
        self.outcomes: list[Outcome | None] = [None] * size
        self.open = size
        self.settled = asyncio.Event()

    def settle(self, index: int, outcome: Outcome) -> None:
        if self.outcomes[index] is None:
            self.outcomes[index] = outcome
            self.open -= 1
            if not self.open:
                self.settled.set()

    def lose(self) -> None:
        for index in range(len(self.outcomes)):
            self.settle(index, Outcome.LOST)

    def answers(self) -> list[Outcome]:
        return [outcome or Outcome.LOST for outcome in self.outcomes]


class Publisher:
    """Publishes batches on one channel in confirm mode, always to one exchange.

    Args:
        channel: an open ``aiormq`` channel with publisher confirms.
        exchange: the only exchange that this agency may write to.
        confirm_timeout: seconds after which an unanswered message counts as lost.
    """

    def __init__(self, channel: aiormq.abc.AbstractChannel, exchange: str, confirm_timeout: float) -> None:
        # The abstract class does not declare the attributes named in the module's docstring.
        self._channel: Any = channel
        self._exchange = exchange
        self._confirm_timeout = confirm_timeout
        self._open: set[_Batch] = set()
        self._closed = False
        # One observer for the channel's whole life: each use of the property would add another.
        self._closing = channel.closing
        self._closing.add_done_callback(lambda _: self.close())

    def close(self) -> None:
        """Give up on everything unanswered: its outcome is ``LOST``."""
        self._closed = True
        for batch in tuple(self._open):
            batch.lose()

    async def publish(self, messages: Sequence[Outgoing], written: Callable[[], None] | None = None) -> list[Outcome]:
        """Publish and wait for the answers; outcomes stand in the order of ``messages``.

        Args:
            messages: what to publish.
            written: called once when the batch has been handed to the socket.
        """
        if self._closed or not messages:
            return [Outcome.LOST] * len(messages)
        batch = _Batch(len(messages))
        self._open.add(batch)
        channel = self._channel
        try:
            async with asyncio.timeout(self._confirm_timeout):
                # Marshalled before a delivery tag is taken: a tag whose message never left would give every later
                # message the confirm of its neighbour.
                payloads = [self._marshalled(message) for message in messages]
                drained: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                await self._room_in_write_queue()
                if self._closed:
                    batch.lose()
                    return batch.answers()
                # No await from here to the write queue: the broker counts in the order of arrival, so must we.
                for index, payload in enumerate(payloads):
                    if payload is None:
                        batch.settle(index, Outcome.UNSENDABLE)
                    else:
                        channel.delivery_tag += 1
                        channel.confirmations[channel.delivery_tag] = _Slot(batch, index)
                if batch.open:
                    payload = b"".join(filter(None, payloads))
                    channel.write_queue.put_nowait(ChannelFrame(payload, should_close=False, drain_future=drained))
                    await asyncio.wait((drained, self._closing), return_when=asyncio.FIRST_COMPLETED)
                if written is not None:
                    written()
                await batch.settled.wait()
        except TimeoutError:
            batch.lose()
        finally:
            self._open.discard(batch)
        return batch.answers()

    def _marshalled(self, message: Outgoing) -> bytes | None:
        """The frames of one message; None when no broker would take them."""
        if len(message.body) > LARGEST_MESSAGE or len(message.statement or "") > LARGEST_STATEMENT:
            return self._unsendable(message, "too large")
        size: int = self._channel.max_content_size
        frames: list[Any] = [
            Basic.Publish(exchange=self._exchange, routing_key=message.routing_key),
            ContentHeader(
                body_size=len(message.body),
                properties=Basic.Properties(
                    content_type=message.content_type,
                    delivery_mode=2,
                    headers={"statement": message.statement} if message.statement else None,
                ),
            ),
            *(ContentBody(message.body[at : at + size]) for at in range(0, len(message.body), size)),
        ]
        try:
            return b"".join(pamqp.frame.marshal(frame, self._channel.number) for frame in frames)
        except (ValueError, TypeError, struct.error) as error:
            return self._unsendable(message, repr(error))

    @staticmethod
    def _unsendable(message: Outgoing, problem: str) -> None:
        _log.error("message_unsendable", routing_key=message.routing_key[:100], rows=message.keys, problem=problem)

    async def _room_in_write_queue(self) -> None:
        queue = self._channel.write_queue
        while queue.full() and not self._closed:
            await queue.join()
