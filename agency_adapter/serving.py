"""`tarasul agency run`: one adapter with its local API in one process, until it is told to stop.

When a part of the adapter fails of itself the process ends with exit code 1, for its supervisor to start it again:
a process that looked alive and moved no letter would be worse than none.
"""

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import structlog
import uvicorn
import uvloop

from agency_adapter import logs
from agency_adapter.api.app import create_app
from agency_adapter.service import Adapter
from agency_adapter.settings import ApiSettings, Settings, read_settings
from agency_adapter.version import VERSION
from broker.clock import Clock
from schemas.errors import ErrorCode, Refused

STOP_SECONDS = 30.0
"""After a failure what still works gets so long to end in good order."""

SWITCH_INTERVAL_SECONDS = 0.001

_log = structlog.get_logger("adapter")


class _Server(uvicorn.Server):
    """uvicorn without its own signal handling, which would stop the API and leave the adapter running."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def api_token(file: Path) -> str:
    """The bearer token of the local API; made at the first start, mode 0600, whole or not at all."""
    if not file.exists():
        draft = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
        with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as fresh:
            fresh.write(secrets.token_urlsafe(32) + "\n")
            fresh.flush()
            os.fsync(fresh.fileno())
        draft.rename(file)
    return file.read_text("ascii").strip()


def listen(settings: ApiSettings) -> socket.socket:
    """The socket of the local API.

    Raises:
        Refused: ``api_address_unusable``.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=256)
    except OSError as error:
        address = f"{settings.host}:{settings.port}"
        problem = error.strerror or type(error).__name__
        raise Refused(ErrorCode.API_ADDRESS_UNUSABLE, address=address, problem=problem) from error


async def serve(settings: Settings, clock: Clock) -> int:
    """Run one adapter with its local API until SIGINT or SIGTERM; returns the exit code.

    Raises:
        Refused: what :class:`agency_adapter.service.Adapter` and :func:`listen` raise, before anything has begun.
    """
    with listen(settings.api) as listener:
        adapter = Adapter(settings, clock)
        server = _Server(
            uvicorn.Config(
                create_app(
                    adapter.correspondence,
                    token=api_token(settings.path(settings.api.token_file)),
                    readiness=adapter.readiness,
                    metrics=adapter.metrics.exposition,
                    largest_body=settings.api.largest_body,
                    version=VERSION,
                ),
                log_config=None,
                access_log=False,
                lifespan="off",
                ws="none",
                timeout_graceful_shutdown=5,
                server_header=False,
            )
        )
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        await adapter.start()
        serving = loop.create_task(server.serve(sockets=[listener]), name="api")
        stopping = loop.create_task(stop.wait())
        ends: list[asyncio.Future[Any]] = [serving, stopping, *adapter.failed]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        in_order = stop.is_set()
        stopping.cancel()
        server.should_exit = True
        try:
            async with asyncio.timeout(None if in_order else STOP_SECONDS):
                await serving
                await adapter.stop()
        except TimeoutError:
            _log.error("stop_abandoned", seconds=STOP_SECONDS)
        return 0 if in_order else 1


def run_adapter(config: Path) -> int:
    """Run the adapter of the settings file ``config``; returns the exit code.

    Raises:
        Refused: see :func:`serve`; also ``settings_invalid``.
    """
    settings = read_settings(config)
    logs.configure(settings.agency)
    # Commits wait in a thread for the disk; the default of 5 ms would keep them waiting for the interpreter too.
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    return uvloop.run(serve(settings, Clock()))
