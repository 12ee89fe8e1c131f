"""Publishing a batch with one write and a confirm for each message.

``aio_pika`` publishes one message per coroutine and per socket write. A relay has hundreds to send, so this module
marshals a whole batch into one write on the channel that ``aio_pika`` opened, and registers a confirmation slot for
each message where the library looks for it. It touches three public attributes of the underlying ``aiormq`` channel
(``delivery_tag``, ``confirmations``, ``write_queue``); the library is pinned, and the session's tests on the real
broker fail if their meaning changes.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import aiormq
from aiormq.abc import ChannelFrame
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.header import ContentHeader


class Outcome(Enum):
    """What became of one published message.

    ``CONFIRMED``: every queue and the journal have it on disk.
    ``REFUSED``: the broker answered that it does not have it (a full mailbox). Publish it again later.
    ``LOST``: the connection ended before an answer. The broker may have it or not: publish it again; the
    recipient knows it by its digest.
    """

    CONFIRMED = "confirmed"
    REFUSED = "refused"
    LOST = "lost"


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
                drained: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                frames: list[Any] = []
                # No await between taking delivery tags and queueing their frames: the broker counts in the
                # order of arrival, so must we.
                await self._room_in_write_queue()
                for index, message in enumerate(messages):
                    channel.delivery_tag += 1
                    channel.confirmations[channel.delivery_tag] = _Slot(batch, index)
                    frames.append(Basic.Publish(exchange=self._exchange, routing_key=message.routing_key))
                    frames.append(
                        ContentHeader(
                            body_size=len(message.body),
                            properties=Basic.Properties(
                                content_type=message.content_type,
                                delivery_mode=2,
                                headers={"statement": message.statement} if message.statement else None,
                            ),
                        )
                    )
                    body, size = message.body, channel.max_content_size
                    frames.extend(ContentBody(body[at : at + size]) for at in range(0, len(body), size))
                channel.write_queue.put_nowait(ChannelFrame.marshall(channel.number, frames, drain_future=drained))
                await asyncio.wait((drained, self._closing), return_when=asyncio.FIRST_COMPLETED)
                if written is not None:
                    written()
                await batch.settled.wait()
        except TimeoutError:
            batch.lose()
        finally:
            self._open.discard(batch)
        return [outcome or Outcome.LOST for outcome in batch.outcomes]

    async def _room_in_write_queue(self) -> None:
        queue = self._channel.write_queue
        while queue.full() and not self._closed:
            await queue.join()
