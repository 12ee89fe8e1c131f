"""The one writer of a store: many small writes, few commits.

Everything that changes a store goes through :class:`Writer`. While one commit waits for the disk, and for the rest of
:data:`SPACING_SECONDS`, whatever is submitted gathers and becomes the next transaction: under load a hundred letters
share one ``fsync``, alone a letter waits for nobody.

The statements run on the event loop, the commit runs in a thread of its own. The other way round (statements in
the thread) makes ``sqlite3`` give up and reacquire the interpreter lock at every row, each time behind a busy
loop; the commit is the only step that really waits.

Invariant: the future of :meth:`Writer.submit` resolves only after the transaction that contains the write has
been committed to the disk. Whoever awaits it may speak of it.

What is to happen because of what was written can be done in the same transaction: see :class:`Follower`.

Should the writer itself fail (not one of the operations: their failures are answered), everything that waits is
refused with ``store_unavailable``, as is everything submitted later, and :attr:`Writer.failed` says why.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

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

AfterCommit = Callable[[], None]


class Follower(Protocol):
    """Does its part at the end of every transaction, before the commit: what it adds costs no commit of its own."""

    def follow(self, connection: Connection) -> AfterCommit | None:
        """Read and write what is to be; returns what is to be done once it has been committed."""
        ...

    def follow_failed(self, error: Exception) -> None:
        """:meth:`follow` raised ``error`` (:class:`Refused` when the store cannot be read or written for now).

        The transaction was undone, and is made again without any follower.
        """
        ...


LARGEST_GROUP = 512
"""Items in one transaction at most: bounds both the time that the loop is busy and the write-ahead log."""

SPACING_SECONDS = 0.01
"""From the beginning of one transaction to that of the next at least. Where many stores share a machine each sees few
letters at a time, and what a transaction costs beside its rows (statements, flush, acknowledgement, the frames of its
answers) is what the machine is busy with."""

PATIENCE_SECONDS = 0.1
"""How long a patient write waits for another to share the commit of."""

_log = structlog.get_logger("writer")


class _FollowerFailed(Exception):  # noqa: N818 - carries the error of a follower to where it is dealt with
    def __init__(self, follower: Follower, error: Exception) -> None:
        self.follower = follower
        self.error = error


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
        self._patience: asyncio.TimerHandle | None = None
        self._followers: list[Follower] = []
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

    def add_follower(self, follower: Follower) -> None:
        """Let ``follower`` do its part in every transaction from now on, whatever was submitted."""
        self._followers.append(follower)

    def remove_follower(self, follower: Follower) -> None:
        self._followers.remove(follower)

    async def submit(self, operation: Operation[Item, Result], item: Item, *, patient: bool = False) -> Result:
        """Run ``operation`` for ``item`` in a transaction shared with others, and wait for its commit.

        Args:
            operation: see :data:`Operation`.
            item: what it is given.
            patient: nobody waits for the commit: for up to :data:`PATIENCE_SECONDS` it begins no transaction of its
                own, and goes into the next that begins.

        Raises:
            Refused: what the operation answered for this item; ``storage_full`` when the disk has no room,
                ``store_unavailable`` when the store cannot be written for another reason.
        """
        if self._closing:
            raise Refused(ErrorCode.STORE_UNAVAILABLE)
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Submission(operation, item, future))
        if not patient:
            self._arrived.set()
        elif self._patience is None:
            self._patience = asyncio.get_running_loop().call_later(PATIENCE_SECONDS, self._arrived.set)
        return await future

    async def look(self) -> None:
        """Have the followers look at the store, though nobody has anything to write.

        Raises:
            Refused: as :meth:`submit`.
        """
        await self.submit(_write_nothing, None)

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
            if self._patience is not None:
                self._patience.cancel()
                self._patience = None
            self._in_hand, self._waiting = self._waiting[:LARGEST_GROUP], self._waiting[LARGEST_GROUP:]
            if not self._waiting and not self._closing:
                self._arrived.clear()
            if self._in_hand:
                loop = asyncio.get_running_loop()
                next_at = loop.time() + SPACING_SECONDS
                await self._write(connection, self._in_hand, tuple(self._followers))
                if len(self._in_hand) < LARGEST_GROUP and not self._closing:
                    await asyncio.sleep(next_at - loop.time())
            elif self._closing:
                return

    async def _write(self, connection: Connection, group: list[_Submission], followers: Sequence[Follower]) -> None:
        try:
            results, after = await self._transact(connection, group, followers)
        except _FollowerFailed as failure:
            connection.rollback()
            failure.follower.follow_failed(_refusal(failure.error) or failure.error)
            return await self._write(connection, group, ())
        except Exception as error:  # noqa: BLE001 - whatever went wrong is answered to those who submitted it
            connection.rollback()
            if len(group) == 1:
                return self._refuse(group[0], error)
            _log.warning("group_split", size=len(group), error=type(error).__name__)
            for submission in group:
                await self._write(connection, [submission], followers)
            return None
        for submission, result in zip(group, results, strict=True):
            if submission.future.done():
                continue
            if isinstance(result, Refused):
                submission.future.set_exception(result)
            else:
                submission.future.set_result(result)
        for act in after:
            act()
        return None

    async def _transact(
        self, connection: Connection, group: list[_Submission], followers: Sequence[Follower]
    ) -> tuple[list[object], list[AfterCommit]]:
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
            after = [act for follower in followers if (act := _follow(follower, connection)) is not None]
            await asyncio.get_running_loop().run_in_executor(self._thread, transaction.commit)
        self.commits += 1
        self.writes += len(group)
        return [results[id(submission)] for submission in group], after

    def _refuse(self, submission: _Submission, error: Exception) -> None:
        if not submission.future.done():
            submission.future.set_exception(_refusal(error) or error)


def _refusal(error: Exception) -> Refused | None:
    """What is said when the store cannot be written for now; None for any other error."""
    # A lost connection is told in other classes too; the next transaction makes it anew.
    if isinstance(error, OperationalError) or (isinstance(error, DBAPIError) and error.connection_invalidated):
        full = "full" in str(error.orig).lower()
        code = ErrorCode.STORAGE_FULL if full else ErrorCode.STORE_UNAVAILABLE
        _log.error("write_failed", code=code, error=str(error.orig))
        refusal = Refused(code)
        refusal.__cause__ = error
        return refusal
    return None


def _follow(follower: Follower, connection: Connection) -> AfterCommit | None:
    try:
        return follower.follow(connection)
    except Exception as error:
        raise _FollowerFailed(follower, error) from error


async def _write_nothing(_connection: Connection, items: Sequence[None]) -> list[None]:
    return [None] * len(items)
