"""A TCP proxy that stands between an adapter and the broker and spoils the connection when told to.

It runs an event loop in a thread of its own, so that tests that block can use it:

    with CuttingProxy(node.amqps_port) as proxy:
        ...                       # an adapter connects to localhost:{proxy.port}
        proxy.cut_after(4000)     # the next connection that has sent so many more bytes is cut in mid-frame
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, TypeVar

LOOPBACK = "127.0.0.1"
CHUNK = 65536
ANSWER_SECONDS = 10.0

Result = TypeVar("Result")


@dataclass(eq=False)
class _Link:
    """One connection through the proxy."""

    writers: tuple[asyncio.StreamWriter, ...]
    done: asyncio.Event = field(default_factory=asyncio.Event)

    def cut(self) -> None:
        """Reset both halves at once: nothing that is buffered still leaves."""
        for writer in self.writers:
            writer.transport.abort()
        self.done.set()


class CuttingProxy:
    """See the module's docstring.

    Args:
        target: port on loopback to which connections are passed on.

    Attributes:
        cuts: connections cut so far.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.cuts = 0
        self._links: set[_Link] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._budget: int | None = None
        self._open = True
        self._flowing = True
        self._flow = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy")

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = self._run(self._listen())
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # What it can be told

    @property
    def links(self) -> int:
        """Connections through it now."""
        return len(self._links)

    def cut(self) -> None:
        """Cut every connection now."""
        self._call(self._cut)

    def cut_after(self, sent: int) -> None:
        """Pass on ``sent`` more bytes from clients, then cut every connection: in mid-frame, most likely."""

        def arm() -> None:
            self._budget = sent

        self._call(arm)

    def refuse(self) -> None:
        """Cut every connection, and every new one as soon as it is made."""

        def shut() -> None:
            self._open = False
            self._cut()

        self._call(shut)

    def accept(self) -> None:
        """Let new connections through again."""

        def reopen() -> None:
            self._open = True

        self._call(reopen)

    def swallow(self) -> None:
        """Become a black hole: every connection stays, nothing passes in either direction."""
        self._call(self._flow.clear)

    def flow(self) -> None:
        """End the black hole. What it has swallowed in the meantime is passed on."""
        self._call(self._flow.set)

    # How it does it

    async def _listen(self) -> asyncio.Server:
        self._flow.set()
        return await asyncio.start_server(self._accepted, LOOPBACK, 0)

    async def _close(self) -> None:
        self._server.close()
        self._cut()
        await self._server.wait_closed()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _cut(self) -> None:
        for link in tuple(self._links):
            link.cut()
            self.cuts += 1

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving = asyncio.ensure_future(self._connected(reader, writer))
        self._serving.add(serving)

        def ended(task: "asyncio.Task[None]") -> None:
            # Also when it was cancelled before its first step.
            self._serving.discard(task)
            writer.transport.abort()

        serving.add_done_callback(ended)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._open:
            return
        try:
            upstream, out = await asyncio.open_connection(LOOPBACK, self.target)
        except OSError:
            return
        link = _Link((writer, out))
        self._links.add(link)
        passers = [
            asyncio.ensure_future(self._pass(link, reader, out, counted=True)),
            asyncio.ensure_future(self._pass(link, upstream, writer, counted=False)),
        ]
        try:
            await link.done.wait()
        finally:
            self._links.discard(link)
            for task in passers:
                task.cancel()
            await asyncio.gather(*passers, return_exceptions=True)
            for each in link.writers:
                each.transport.abort()

    async def _pass(
        self, link: _Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counted: bool
    ) -> None:
        try:
            while received := await reader.read(CHUNK):
                await self._flow.wait()
                budget = self._budget
                if counted and budget is not None:
                    if len(received) >= budget:
                        # Drained first: the broker shall really see the first half of what is cut.
                        writer.write(received[:budget])
                        await writer.drain()
                        self._budget = None
                        await asyncio.sleep(0)
                        self._cut()
                        return
                    self._budget = budget - len(received)
                writer.write(received)
                await writer.drain()
        except OSError:
            pass  # one half is gone; so shall be the other
        finally:
            link.done.set()

    def _call(self, act: Callable[[], object]) -> None:
        async def once() -> None:
            act()

        self._run(once())

    def _run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(ANSWER_SECONDS)
