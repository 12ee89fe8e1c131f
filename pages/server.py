"""An HTTP server inside a process that has other work: it listens where it is told, and leaves signals alone."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any, Protocol

import structlog
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from schemas.errors import ErrorCode, Refused

GRACE_SECONDS = 5
STOP_SECONDS = 30.0
"""After a failure what still works gets so long to end in good order."""

MOST_CONNECTIONS = 64

_log = structlog.get_logger("server")


class Work(Protocol):
    """What the process is there for.

    Attributes:
        failed: from :meth:`start` on, one future for each part whose end is the end of the work; see
            :mod:`broker.life`.
    """

    @property
    def failed(self) -> tuple[asyncio.Future[None], ...]: ...
    async def start(self) -> None: ...
    async def stop(self) -> None: ...


class Door(HttpToolsProtocol):
    """A connection, one of :data:`MOST_CONNECTIONS` at most: for one more, the oldest goes that has no request running.

    So nobody who can reach the address, and needs no token for that, takes away the open files with which the process
    reaches the broker and its store, or keeps others out.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's own
        super().connection_made(transport)
        self.since = self.loop.time()
        if len(self.connections) > MOST_CONNECTIONS:
            idle = [each for each in self.connections if isinstance(each, Door) and each.is_idle]
            min(idle, key=lambda each: each.since).transport.abort()

    @property
    def is_idle(self) -> bool:
        """Whether no request of it is being answered."""
        return self.cycle is None or self.cycle.response_complete


class QuietServer(uvicorn.Server):
    """uvicorn without its own signal handling, which would stop the server and leave the rest running.

    Args:
        app: an ASGI application.
    """

    def __init__(self, app: Any) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=Door,
                log_config=None,
                access_log=False,
                lifespan="off",
                ws="none",
                timeout_graceful_shutdown=GRACE_SECONDS,
                server_header=False,
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        Refused: ``api_address_unusable``.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=256)
    except OSError as error:
        problem = error.strerror or type(error).__name__
        raise Refused(ErrorCode.API_ADDRESS_UNUSABLE, address=f"{host}:{port}", problem=problem) from error


async def serve_beside(work: Work, app: Any, listener: socket.socket, stop: asyncio.Event) -> bool:
    """Do ``work`` and serve ``app`` until ``stop`` is set; False when a part failed of itself, and all was ended.

    Raises:
        Exception: what :meth:`Work.start` and :meth:`Work.stop` raise.
    """
    server = QuietServer(app)
    loop = asyncio.get_running_loop()
    await work.start()
    serving = loop.create_task(server.serve(sockets=[listener]), name="http")
    stopping = loop.create_task(stop.wait())
    ends: list[asyncio.Future[Any]] = [serving, stopping, *work.failed]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    in_order = stop.is_set()
    stopping.cancel()
    server.should_exit = True
    try:
        async with asyncio.timeout(None if in_order else STOP_SECONDS):
            await serving
            await work.stop()
    except TimeoutError:
        _log.error("stop_abandoned", seconds=STOP_SECONDS)
    return in_order
