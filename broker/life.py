"""How a part that works on its own (writer, relay, session) tells its owner that it works no longer.

What such a part foresees it deals with: a full disk, a lost connection. What it does not foresee ends its task, and a
process that goes on without it looks alive and moves no letter. So each part has a future ``failed``, and whoever
owns the part waits for it and ends the process, to be started again by its supervisor:

    done, _ = await asyncio.wait({stopping, writer.failed, relay.failed, session.failed}, return_when=FIRST_COMPLETED)
"""

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

_log = structlog.get_logger("life")


class Life:
    """One task that is meant to go on until its part is stopped.

    Attributes:
        failed: pending while the part works and after an ordinary stop. Done, with the exception, once the part has
            ended of itself. Exists from :meth:`begin` on; it is never cancelled and never has a result.
    """

    failed: asyncio.Future[None]

    def __init__(self, name: str) -> None:
        self._name = name
        self._task: asyncio.Task[None] | None = None

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Start ``work`` as the part's task."""
        loop = asyncio.get_running_loop()
        self.failed = loop.create_future()
        self._task = loop.create_task(work, name=self._name)
        self._task.add_done_callback(self._ended)

    def fail(self, error: BaseException) -> None:
        """The part can work no longer because of ``error``; the first one is told."""
        if not self.failed.done():
            _log.error("part_failed", part=self._name, exc_info=error)
            self.failed.set_exception(error)
            # Told in the log: that nobody waits for it (the owner is stopping) is no second error.
            self.failed.exception()

    async def over(self) -> None:
        """Wait for the task's end. Does not raise what ended it: that stands in :attr:`failed`."""
        if self._task is not None:
            await asyncio.wait((self._task,))

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if task.cancelled():
            # Nobody cancels a part: a library's stray cancellation is as fatal as any other exception.
            self.fail(RuntimeError(f"the task of the {self._name} was cancelled"))
        elif (error := task.exception()) is not None:
            self.fail(error)
