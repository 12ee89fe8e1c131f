"""An HTTP server inside a process that has other work: it listens where it is told, and leaves signals alone."""

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn

from schemas.errors import ErrorCode, Refused

GRACE_SECONDS = 5


class QuietServer(uvicorn.Server):
    """uvicorn without its own signal handling, which would stop the server and leave the rest running.

    Args:
        app: an ASGI application.
    """

    def __init__(self, app: Any) -> None:
        super().__init__(
            uvicorn.Config(
                app,
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
