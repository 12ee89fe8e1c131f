"""`tarasul authority run`: the authority's readers in one process, until it is told to stop."""

import asyncio
import signal

import uvloop

from broker import interpreter, logs
from broker.clock import Clock
from gateway.service import Authority
from gateway.settings import AuthoritySettings
from gateway.watching import Watch
from pages.server import listen, serve_beside
from schemas.identifiers import AUTHORITY


async def serve(settings: AuthoritySettings, clock: Clock) -> int:
    """Run until SIGINT or SIGTERM; returns the exit code, 1 when a part failed of itself.

    Raises:
        Refused: what :class:`gateway.service.Authority` and :func:`pages.server.listen` raise.
    """
    with listen(settings.watch.host, settings.watch.port) as listener:
        authority = Authority(settings, clock)
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        in_order = await serve_beside(authority, Watch(authority).app(), listener, stop)
        return 0 if in_order else 1


def run_authority(settings: AuthoritySettings) -> int:
    """See :func:`serve`."""
    logs.configure()
    logs.speak_for(AUTHORITY)
    interpreter.prepare()
    return uvloop.run(serve(settings, Clock()))
