"""The authority's works in one process: journal reader, log and dead-letter audit, each a duty of its own.

Several such processes may run, on one store: each duty is done by one of them, and another takes over when it ends.
Nothing in a letter's path waits for any of it.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import structlog
from sqlalchemy import Connection

from broker import outbox
from broker.clock import Clock
from broker.life import Life
from broker.names import DEAD_LETTER, DEAD_LETTER_EXPIRED, JOURNAL, dead_letter_queue, from_exchange
from broker.relay import Relay
from broker.session import Session, SessionState, Subscription
from broker.stream_end import stream_end
from broker.topology import AUDIT_USER, LOG_USER
from broker.writer import Writer
from gateway.answers import AnswerDesk, AnswerOutbox
from gateway.apart import Apart
from gateway.audit_worker import AuditWorker
from gateway.directory_file import DirectoryFile
from gateway.duty import Duty, DutyState, Working
from gateway.journal_reader import JournalReader
from gateway.lease import Lease, LeaseLost
from gateway.log_keeper import LogKeeper, own_log
from gateway.newest_directory import newest_directory, note_directory
from gateway.settings import AuthoritySettings
from gateway.store.opening import open_gateway_store
from gateway.store.tables import answers
from schemas.directory import KeyPurpose
from schemas.errors import Refused
from schemas.identifiers import AUTHORITY, ECHO
from trust.certificates import read_certificate
from trust.keys import FileKey
from trust.token import Signer

REFRESH_SECONDS = 1.0

_log = structlog.get_logger("authority")


class Authority:
    """See the module's docstring.

    Raises:
        Refused: when the store, a key, a certificate or the directory cannot be used.
    """

    def __init__(self, settings: AuthoritySettings, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        keys = settings.path(settings.keys)
        self._key = FileKey(keys / f"{KeyPurpose.RECEIPTS.value}.key", keys / f"{KeyPurpose.RECEIPTS.value}.pem")
        anchor = read_certificate(settings.path(settings.root))
        self.store = open_gateway_store(settings.store, settings.base)
        try:
            with self.store.readings.connect() as connection:
                newest = newest_directory(connection)
            self.directory = DirectoryFile(settings.path(settings.directory_file), [anchor], clock, newest)
            log, key = own_log(keys / f"{KeyPurpose.LOG.value}.key", self.directory.current)
        except BaseException:
            self.store.close()
            raise
        self.writer = Writer(self.store.engine)
        self.journal_duty = Duty(Lease("journal"), self.writer, self._journal)
        self.audit_duty = Duty(Lease("audit"), self.writer, self._audit)
        self.log_duty = Duty(Lease("log"), self.writer, self._keep_log)
        self.duties = (self.journal_duty, self.log_duty, self.audit_duty)
        self.reader = JournalReader(self.writer, self.journal_duty.lease, clock)
        self.keeper = LogKeeper(self.writer, self.log_duty.lease, self.directory, log.origin, key, clock)
        self.apart = Apart(settings.path(Path("apart")))
        self.audit = AuditWorker(
            self.writer,
            self.audit_duty.lease,
            self.directory,
            AnswerDesk(Signer(self._key), clock),
            self.apart,
            clock,
        )
        self._stopping = asyncio.Event()
        self._refreshing = Life("directory")

    async def start(self) -> None:
        self.writer.start()
        for duty in self.duties:
            duty.start()
        self._refreshing.begin(self._refresh())
        _log.info("authority_started", directory=self.directory.current.version)

    @property
    def failed(self) -> tuple[asyncio.Future[None], ...]:
        """One future for each part without which the record stands still; see :mod:`broker.life`."""
        return self.writer.failed, *(duty.failed for duty in self.duties), self._refreshing.failed

    async def stop(self) -> None:
        """Finish what is in hand, give the leases up, close the store."""
        self._stopping.set()
        await asyncio.gather(*(duty.stop() for duty in self.duties))
        await self._refreshing.over()
        await self.writer.close()
        self.store.close()
        _log.info("authority_stopped")

    @contextlib.asynccontextmanager
    async def _journal(self) -> AsyncIterator[Working]:
        address = self.settings.address(LOG_USER)
        await self.reader.begin()
        session = Session(
            address, from_exchange(AUTHORITY), {}, "authority journal", subscriptions=[self.reader.subscription]
        )
        watches: set[asyncio.Task[None]] = set()

        def watch(state: SessionState) -> None:
            if state is SessionState.READY:
                silence = self.reader.watch_silence(lambda: stream_end(address, JOURNAL), session.begin_anew)
                watches.difference_update([task for task in watches if task.done()])
                watches.add(asyncio.get_running_loop().create_task(silence, name="silence of the journal"))

        session.on_change.append(watch)
        session.start()
        try:
            yield Working(session, (session.failed,))
        finally:
            for task in watches:
                task.cancel()
            await asyncio.gather(*watches, return_exceptions=True)
            await session.stop()

    @contextlib.asynccontextmanager
    async def _keep_log(self) -> AsyncIterator[Working]:
        stopping = asyncio.Event()
        keeping = Life("log")
        keeping.begin(self.keeper.keep_until(stopping))
        try:
            yield Working(None, (keeping.failed,))
        finally:
            stopping.set()
            await keeping.over()

    @contextlib.asynccontextmanager
    async def _audit(self) -> AsyncIterator[Working]:
        codes = sorted({*self.directory.current.agencies, AUTHORITY, ECHO})
        queues = (DEAD_LETTER, DEAD_LETTER_EXPIRED, *(dead_letter_queue(code) for code in codes))
        session = Session(
            self.settings.address(AUDIT_USER),
            from_exchange(AUTHORITY),
            {},
            "authority audit",
            subscriptions=[Subscription(queues, self.audit.receive, some_may_be_absent=True)],
        )
        relay = Relay(session, self.writer, (AnswerOutbox(),), self.clock)
        stopping = asyncio.Event()
        judging = Life("audit")
        # What the process before us had claimed and never said what became of is published (again).
        await self.writer.submit(self._release_all, None)
        session.start()
        relay.start()
        judging.begin(self.audit.judge_until(stopping, session.publish))
        try:
            yield Working(session, (session.failed, relay.failed, judging.failed))
        finally:
            stopping.set()
            await judging.over()
            await session.stop()
            await relay.stop()

    async def _return_unmarked(self) -> None:
        """Answers whose claim ran out, as the store was away when their confirms came, wait again."""
        if self.audit_duty.state is DutyState.WORKING:
            try:
                await self.writer.submit(self._release_expired, None)
            except (Refused, LeaseLost) as error:
                _log.warning("claims_not_returned", error=repr(error))

    async def _release_all(self, connection: Connection, items: Sequence[None]) -> list[int]:
        self.audit_duty.lease.require(connection)
        return [outbox.release_all(connection, answers)] * len(items)

    async def _release_expired(self, connection: Connection, items: Sequence[None]) -> list[int]:
        self.audit_duty.lease.require(connection)
        return [outbox.release_expired(connection, answers, now=self.clock.unix_ms())] * len(items)

    async def _note_directory(self) -> None:
        """Write down which directory is in force, until the store has it."""
        if self.directory.is_noted:
            return
        try:
            self.directory.noted(await self.writer.submit(note_directory, self.directory.in_force))
        except Refused as refusal:
            _log.warning("directory_not_noted", code=refusal.code)

    async def _refresh(self) -> None:
        while not self._stopping.is_set():
            await self._note_directory()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(REFRESH_SECONDS):
                    await self._stopping.wait()
            await self._return_unmarked()
            if self.directory.refresh():
                # Another list of agencies may mean other queues to read.
                self.audit_duty.begin_anew()
