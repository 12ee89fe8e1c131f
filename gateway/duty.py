"""A duty: a work that one process of the authority does at a time, and a standby takes over.

    duty = Duty(Lease("journal"), writer, work)
    duty.start()

``work`` is a context in which the work goes on. It is entered when the lease has been taken, and left when the lease
is lost or the duty is stopped. What the work writes is fenced by the lease in its own transactions: a holder that was
asleep when it lost the lease can still speak, but no longer write.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import structlog

from broker.life import Life
from broker.session import Session
from broker.writer import Operation, Writer
from gateway.lease import RENEWED_EVERY_SECONDS, Lease, LeaseLost
from schemas.errors import ErrorCode, Refused


@dataclass(frozen=True, slots=True)
class Working:
    """A work under way.

    Attributes:
        session: with the broker, if it needs one.
        failed: of each part without which the work stands still; see :mod:`broker.life`.
    """

    session: Session | None
    failed: tuple[asyncio.Future[None], ...]


Work = Callable[[], AbstractAsyncContextManager[Working]]

_log = structlog.get_logger("duty")


class DutyState(StrEnum):
    """``starting``: not asked for the lease yet. ``standby``: another process works, or the store cannot be asked."""

    STARTING = "starting"
    STANDBY = "standby"
    WORKING = "working"
    STOPPED = "stopped"


class Duty:
    """See the module's docstring.

    Attributes:
        state: see there.
        session: of the work under way.
        problem: why the store could not be asked for the lease the last time; None when it could. Asking writes, so
            this is the first to know of a store that can be read and not written.
    """

    def __init__(self, lease: Lease, writer: Writer, work: Work) -> None:
        self.lease = lease
        self._writer = writer
        self._work = work
        self._stopping = asyncio.Event()
        self._again = asyncio.Event()
        self._life = Life(f"duty {lease.name}")
        self.state = DutyState.STARTING
        self.session: Session | None = None
        self.problem: ErrorCode | None = None

    def start(self) -> None:
        self._life.begin(self._run())

    @property
    def failed(self) -> asyncio.Future[None]:
        """Done, with the exception, once the duty is done no more; see :mod:`broker.life`."""
        return self._life.failed

    async def stop(self) -> None:
        """Finish what is in hand, and let a standby take over at once."""
        self._stopping.set()
        await self._life.over()
        self.state = DutyState.STOPPED

    async def _run(self) -> None:
        while not self._stopping.is_set():
            # Whatever has changed so far, work that begins now knows.
            self._again.clear()
            if await self._asked(self.lease.take_all, unknown=False):
                try:
                    await self._hold()
                    continue
                except Refused as refusal:
                    # The store cannot be used for now; the lease is in it.
                    _log.warning("duty_waits", duty=self.lease.name, code=refusal.code)
                except LeaseLost:
                    _log.warning("duty_lost", duty=self.lease.name)
            self.state = DutyState.STANDBY
            await self._pause()

    def begin_anew(self) -> None:
        """Leave the work and enter it again: what it was made for has changed."""
        self._again.set()

    async def _hold(self) -> None:
        _log.info("duty_taken", duty=self.lease.name)
        async with self._work() as working:
            self.session, self.state = working.session, DutyState.WORKING
            try:
                while not (self._stopping.is_set() or self._again.is_set() or _any_done(working.failed)):
                    await self._pause(*working.failed)
                    # Renewed, not taken anew: if another process has had it meanwhile the work begins again, from
                    # where that one left it.
                    if not await self._asked(self.lease.renew_all, unknown=True):
                        _log.warning("duty_lost", duty=self.lease.name)
                        break
            finally:
                self.session, self.state = None, DutyState.STANDBY
        for failed in working.failed:
            if failed.done():
                failed.result()
        if self._stopping.is_set():
            with contextlib.suppress(Refused):
                await self._writer.submit(self.lease.release, None)

    async def _asked(self, question: Operation[None, bool], *, unknown: bool) -> bool:
        """Whether the lease is ours; ``unknown`` is the answer when the store cannot be asked."""
        try:
            answer = await self._writer.submit(question, None)
        except Refused as refusal:
            self.problem = refusal.code
            _log.warning("lease_not_asked", duty=self.lease.name, code=refusal.code)
            return unknown
        self.problem = None
        return answer

    async def _pause(self, *failed: asyncio.Future[None]) -> None:
        """Until it is time to say again that we hold the lease, or something has happened."""
        happenings = [asyncio.ensure_future(event.wait()) for event in (self._stopping, self._again)]
        waited: list[asyncio.Future[Any]] = [*happenings, *failed]
        await asyncio.wait(waited, timeout=RENEWED_EVERY_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        for happening in happenings:
            happening.cancel()


def _any_done(futures: Iterable[asyncio.Future[None]]) -> bool:
    return any(future.done() for future in futures)
