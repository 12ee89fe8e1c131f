"""`tarasul authority run`: the authority's readers in one process, until it is told to stop."""

import asyncio
import signal
from typing import Any

import structlog
import uvloop

from broker import logs
from broker.clock import Clock
from gateway.service import Authority
from gateway.settings import AuthoritySettings
from gateway.watching import Watch
from pages.server import QuietServer, listen
from schemas.identifiers import AUTHORITY

STOP_SECONDS = 30.0

_log = structlog.get_logger("authority")


async def serve(settings: AuthoritySettings, clock: Clock) -> int:
    """Run until SIGINT or SIGTERM; returns the exit code, 1 when a part failed of itself.

    Raises:
        Refused: what :class:`gateway.service.Authority` and :func:`pages.server.listen` raise.
    """
    with listen(settings.watch.host, settings.watch.port) as listener:
        authority = Authority(settings, clock)
        server = QuietServer(Watch(authority).app())
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        await authority.start()
        serving = loop.create_task(server.serve(sockets=[listener]), name="watch")
        stopping = loop.create_task(stop.wait())
        ends: list[asyncio.Future[Any]] = [serving, stopping, *authority.failed]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        in_order = stop.is_set()
        stopping.cancel()
        server.should_exit = True
        try:
            async with asyncio.timeout(None if in_order else STOP_SECONDS):
                await serving
                await authority.stop()
        except TimeoutError:
            _log.error("stop_abandoned", seconds=STOP_SECONDS)
        return 0 if in_order else 1


def run_authority(settings: AuthoritySettings) -> int:
    """See :func:`serve`."""
    logs.configure()
    logs.speak_for(AUTHORITY)
    return uvloop.run(serve(settings, Clock()))
