"""`tarasul agency run`: adapters with their local APIs in one process, until it is told to stop.

One process usually hosts one agency. When a part of its adapter fails of itself the process ends with exit code 1,
for its supervisor to start it again: a process that looked alive and moved no letter would be worse than none. One
process may host several agencies, each with its own keys, store, connections and port; there the one that fails is
begun again by itself, with growing waits, and the others go on.
"""

import asyncio
import contextlib
import os
import random
import secrets
import signal
from collections.abc import Sequence
from pathlib import Path

import structlog
import uvloop

from agency_adapter.api.app import create_app
from agency_adapter.service import Adapter
from agency_adapter.settings import Settings, read_settings
from agency_adapter.version import VERSION
from broker import interpreter, logs
from broker.clock import Clock
from pages.server import listen, serve_beside
from schemas.errors import ErrorCode, Refused

SHORTEST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 60.0

_log = structlog.get_logger("adapter")
_dice = random.SystemRandom()


def api_token(file: Path) -> str:
    """The bearer token of the local API; made at the first start, mode 0600, whole or not at all.

    Raises:
        Refused: ``file_unreadable``: it cannot be read, or not be made.
    """
    try:
        if not file.exists():
            _make_token(file)
        return file.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        problem = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
        raise Refused(ErrorCode.FILE_UNREADABLE, path=str(file), problem=problem) from error


def _make_token(file: Path) -> None:
    draft = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as fresh:
        fresh.write(secrets.token_urlsafe(32) + "\n")
        fresh.flush()
        os.fsync(fresh.fileno())
    draft.rename(file)


async def serve(settings: Settings, clock: Clock, stop: asyncio.Event) -> bool:
    """Run one adapter with its local API until ``stop`` is set; False when a part of it failed of itself.

    Raises:
        Refused: what :class:`agency_adapter.service.Adapter`, :func:`api_token`, :func:`create_app` and :func:`listen`
            raise, before anything has begun.
    """
    logs.speak_for(settings.agency)
    with listen(settings.api.host, settings.api.port) as listener:
        adapter = Adapter(settings, clock)
        try:
            app = create_app(
                adapter.correspondence,
                token=api_token(settings.path(settings.api.token_file)),
                readiness=adapter.readiness,
                metrics=adapter.metrics.exposition,
                largest_body=settings.api.largest_body,
                version=VERSION,
            )
        except BaseException:
            await adapter.stop()
            raise
        return await serve_beside(adapter, app, listener, stop)


async def serve_again(settings: Settings, clock: Clock, stop: asyncio.Event) -> None:
    """Run one of several adapters; one that fails, or cannot begin, is begun again, and the others do not notice."""
    failures = 0
    while not stop.is_set():
        began = clock.monotonic()
        try:
            if await serve(settings, clock, stop):
                return
        except Refused as refusal:
            _log.error("adapter_cannot_begin", agency=settings.agency, code=refusal.code, problem=str(refusal))
        except Exception:  # noqa: BLE001 - whatever ended it, the others are to go on
            _log.exception("adapter_failed", agency=settings.agency)
        failures = 0 if clock.monotonic() - began > LONGEST_WAIT_SECONDS else failures + 1
        longest = min(LONGEST_WAIT_SECONDS, SHORTEST_WAIT_SECONDS * 2 ** min(failures, 10))
        wait = _dice.uniform(longest / 2, longest)
        _log.warning("adapter_begins_again", agency=settings.agency, seconds=round(wait, 1))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await stop.wait()


async def serve_all(all_settings: Sequence[Settings], clock: Clock) -> int:
    """Run one or several adapters until SIGINT or SIGTERM; returns the exit code.

    One alone ends the process when it fails, for its supervisor to see; of several, each is begun again by itself.

    Raises:
        Refused: see :func:`serve`, for one alone.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if len(all_settings) == 1:
        return 0 if await serve(all_settings[0], clock, stop) else 1
    async with asyncio.TaskGroup() as group:
        for settings in all_settings:
            group.create_task(serve_again(settings, clock, stop), name=f"adapter {settings.agency}")
    return 0


def run_adapters(configs: Sequence[Path]) -> int:
    """Run the adapters of the settings files ``configs``; returns the exit code.

    Raises:
        Refused: see :func:`serve_all`; also ``settings_invalid``, for two that share an agency, a store or a port too.
    """
    all_settings = [read_settings(config) for config in configs]
    _require_apart(configs, all_settings)
    logs.configure()
    interpreter.prepare()
    return uvloop.run(serve_all(all_settings, Clock()))


def _require_apart(configs: Sequence[Path], all_settings: Sequence[Settings]) -> None:
    """Nothing may be two adapters'."""
    seen: set[object] = set()
    for config, settings in zip(configs, all_settings, strict=True):
        store = settings.path(settings.store).resolve()
        own = [("agency", settings.agency), ("store", store)]
        own += [("api.port", settings.api.port)] if settings.api.port else []
        for name, value in own:
            if (name, value) in seen:
                raise Refused(
                    ErrorCode.SETTINGS_INVALID,
                    path=str(config),
                    problem_ar=f"{name} {value} لمحوّل آخر أيضاً",
                    problem=f"{name} {value} is another adapter's too",
                )
            seen.add((name, value))
