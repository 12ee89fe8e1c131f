"""The one writer of a store: many small writes, few commits.

Everything that changes a store goes through :class:`Writer`. While one commit waits for the disk, whatever is
submitted meanwhile gathers and becomes the next transaction: under load a hundred letters share one ``fsync``,
alone a letter waits for nobody.

The statements run on the event loop, the commit runs in a thread of its own. The other way round (statements in
the thread) makes ``sqlite3`` give up and reacquire the interpreter lock at every row, each time behind a busy
loop; the commit is the only step that really waits.

Invariant: the future of :meth:`Writer.submit` resolves only after the transaction that contains the write has
been committed to the disk. Whoever awaits it may speak of it.

Should the writer itself fail (not one of the operations: their failures are answered), everything that waits is
refused with ``store_unavailable``, as is everything submitted later, and :attr:`Writer.failed` says why.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, OperationalError

from broker.life import Life
from schemas.errors import ErrorCode, Refused

Item = TypeVar("Item")
Result = TypeVar("Result")

Operation = Callable[[Connection, Sequence[Item]], Awaitable[Sequence[Result | Refused]]]
"""What a writer runs: takes the open transaction and all items submitted for it, returns one result per item.

A :class:`Refused` among the results is raised at that item's submitter and leaves the others alone. An operation
must be repeatable: when a transaction fails as a whole, each of its items is tried again in one of its own.
"""

LARGEST_GROUP = 512
"""Items in one transaction at most: bounds both the time that the loop is busy and the write-ahead log."""

_log = structlog.get_logger("writer")


@dataclass(slots=True)
class _Submission:
    operation: Operation[Any, Any]
    item: Any
    future: asyncio.Future[Any]


class Writer:
    """Serialises and groups the writes to one store.

    Args:
        engine: the store. The writer holds one connection of it for as long as it runs.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._waiting: list[_Submission] = []
        self._in_hand: list[_Submission] = []
        self._arrived = asyncio.Event()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="commit")
        self._life = Life("writer")
        self._closing = False
        self.commits = 0
        self.writes = 0

    def start(self) -> None:
        self._life.begin(self._run())

    @property
    def failed(self) -> asyncio.Future[None]:
        """Done, with the exception, once the writer has ended of itself; see :mod:`broker.life`."""
        return self._life.failed

    async def submit(self, operation: Operation[Item, Result], item: Item) -> Result:
        """Run ``operation`` for ``item`` in a transaction shared with others, and wait for its commit.

        Raises:
            Refused: what the operation answered for this item; ``storage_full`` when the disk has no room,
                ``store_unavailable`` when the store cannot be written for another reason.
        """
        if self._closing:
            raise Refused(ErrorCode.STORE_UNAVAILABLE)
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Submission(operation, item, future))
        self._arrived.set()
        return await future

    async def close(self) -> None:
        """Commit what has been submitted, then stop."""
        self._closing = True
        self._arrived.set()
        await self._life.over()
        self._thread.shutdown(wait=True)

    async def _run(self) -> None:
        try:
            with self._engine.connect() as connection:
                await self._write_until_closed(connection)
        finally:
            # Nobody may wait for a writer that is gone. After an ordinary close there is nothing left here.
            self._closing = True
            for submission in self._in_hand + self._waiting:
                if not submission.future.done():
                    submission.future.set_exception(Refused(ErrorCode.STORE_UNAVAILABLE))

    async def _write_until_closed(self, connection: Connection) -> None:
        while True:
            await self._arrived.wait()
            self._in_hand, self._waiting = self._waiting[:LARGEST_GROUP], self._waiting[LARGEST_GROUP:]
            if not self._waiting and not self._closing:
                self._arrived.clear()
            if self._in_hand:
                await self._write(connection, self._in_hand)
            elif self._closing:
                return

    async def _write(self, connection: Connection, group: list[_Submission]) -> None:
        try:
            results = await self._transact(connection, group)
        except Exception as error:  # noqa: BLE001 - whatever went wrong is answered to those who submitted it
            connection.rollback()
            if len(group) == 1:
                self._refuse(group[0], error)
                return
            _log.warning("group_split", size=len(group), error=type(error).__name__)
            for submission in group:
                await self._write(connection, [submission])
            return
        for submission, result in zip(group, results, strict=True):
            if submission.future.done():
                continue
            if isinstance(result, Refused):
                submission.future.set_exception(result)
            else:
                submission.future.set_result(result)

    async def _transact(self, connection: Connection, group: list[_Submission]) -> list[object]:
        results: dict[int, object] = {}
        by_operation: dict[Operation[Any, Any], list[_Submission]] = {}
        for submission in group:
            by_operation.setdefault(submission.operation, []).append(submission)
        with connection.begin() as transaction:
            for operation, submissions in by_operation.items():
                answers = await operation(connection, [submission.item for submission in submissions])
                results.update(
                    (id(submission), answer) for submission, answer in zip(submissions, answers, strict=True)
                )
            await asyncio.get_running_loop().run_in_executor(self._thread, transaction.commit)
        self.commits += 1
        self.writes += len(group)
        return [results[id(submission)] for submission in group]

    def _refuse(self, submission: _Submission, error: Exception) -> None:
        if submission.future.done():
            return
        # A lost connection is told in other classes too; the next transaction makes it anew.
        if isinstance(error, OperationalError) or (isinstance(error, DBAPIError) and error.connection_invalidated):
            full = "full" in str(error.orig).lower()
            code = ErrorCode.STORAGE_FULL if full else ErrorCode.STORE_UNAVAILABLE
            _log.error("write_failed", code=code, error=str(error.orig))
            refusal = Refused(code)
            refusal.__cause__ = error
            submission.future.set_exception(refusal)
        else:
            submission.future.set_exception(error)
