"""One adapter put together, and its life: start, work, drain, stop.

The order matters. Start: store and recovery first, then the relay and the session, the API last. Stop: the API
first (nothing new is accepted), then the session drains (the batch in hand is committed and acknowledged), then the
relay, then the store. A kill at any instant is the same as a stop without the courtesies.
"""

import asyncio
import contextlib
from collections.abc import Sequence

import structlog
from sqlalchemy import Connection

from agency_adapter.acceptance import Acceptance
from agency_adapter.correspondence import Correspondence
from agency_adapter.directory_cache import DirectoryCache
from agency_adapter.incoming import Incoming
from agency_adapter.metrics import Metrics
from agency_adapter.notices import Notices
from agency_adapter.orders import Orders
from agency_adapter.quarantine import DeadLetterOutbox, Quarantine
from agency_adapter.readiness import Check, Readiness
from agency_adapter.receipts import ReceiptDesk, ReceiptOutbox
from agency_adapter.registry import Registry
from agency_adapter.room import LEAST_FREE_BYTES, Room
from agency_adapter.settings import Settings
from agency_adapter.store.opening import Store, open_agency_store, progress, set_value, value
from agency_adapter.transmissions import TransmissionOutbox, repeat_due
from broker import outbox
from broker.clock import Clock
from broker.life import Life
from broker.names import from_exchange, inbox_queue, notices_queue, orders_queue
from broker.relay import Relay
from broker.session import Handler, Session, SessionState
from broker.writer import Writer
from schemas.envelope import Lane
from schemas.errors import ErrorCode, Refused
from trust.certificates import read_certificate
from trust.directory import Directory
from trust.keys import FileKey
from trust.token import Signer

SWEEP_SECONDS = 1.0

_log = structlog.get_logger("adapter")


class Adapter:
    """One agency's adapter, without its HTTP server.

    Args:
        settings: see :mod:`agency_adapter.settings`.
        clock: the process's one clock.

    Raises:
        Refused: when the store, a key, a certificate or the directory cannot be used.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        agency = settings.agency
        self.store: Store = open_agency_store(settings.path(settings.store), agency)
        try:
            self._put_together(agency)
        except BaseException:
            self.store.close()
            raise

    def _put_together(self, agency: str) -> None:
        settings, clock = self.settings, self.clock
        keys = settings.path(settings.keys.directory)
        self.key = FileKey(keys / "seal.key", keys / "seal.pem")
        self._transport_certificate = read_certificate(keys / "transport.pem")
        anchor = read_certificate(settings.path(settings.trust.root))
        with self.store.readings.connect() as connection:
            newest, self._noted = value(connection, "directory_version"), value(connection, "directory_digest")
        self.directory = DirectoryCache(
            settings.path(settings.trust.directory_file), [anchor], clock, int(newest) if newest else None, self._noted
        )
        signer = Signer(self.key)
        self.writer = Writer(self.store.engine)
        desk = ReceiptDesk(agency, signer, clock)
        self.quarantine = Quarantine(agency, signer, clock)
        self.incoming = Incoming(agency, self.writer, self.directory, desk, self.quarantine, clock)
        self.notices = Notices(agency, self.writer, self.directory, self.quarantine, clock)
        self.orders = Orders(agency, self.writer, self.directory, self.quarantine, clock)
        handlers: dict[str, Handler] = {
            inbox_queue(agency, Lane.URGENT): lambda batch: self.incoming.receive(Lane.URGENT, batch),
            inbox_queue(agency, Lane.ROUTINE): lambda batch: self.incoming.receive(Lane.ROUTINE, batch),
            notices_queue(agency): self.notices.receive,
            orders_queue(agency): self.orders.receive,
        }
        self.session = Session(settings.address(), from_exchange(agency), handlers, f"adapter {agency}")
        self.relay = Relay(
            self.session,
            self.writer,
            (ReceiptOutbox(), TransmissionOutbox(), DeadLetterOutbox()),
            clock,
        )
        self.room = Room(settings.path(settings.store).resolve().parent)
        self.acceptance = Acceptance(
            agency,
            self.writer,
            self.store.readings,
            signer,
            self.directory,
            self.store.mark,
            self.room,
            clock,
        )
        registry = Registry(agency, self.writer, desk, self.store.mark, clock)
        self.correspondence = Correspondence(
            agency, self.store.readings, self.acceptance, registry, self.directory, self.relay, clock
        )
        self.metrics = Metrics(
            agency, self.store.readings, clock, self._live, lambda: self.session.state, self._certificate_days
        )
        self._unwritable: ErrorCode | None = None  # why the last sweep could not write
        self._stopping = asyncio.Event()
        self._clockwork = Life("clockwork")
        self._lag: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Recover what the last process left, then begin to work; what cannot begin is stopped."""
        self.writer.start()
        try:
            released = await self.writer.submit(self._recover, None)
            await self._refresh_directory()
        except BaseException:
            await self.stop()
            raise
        _log.info(
            "adapter_started",
            epoch=self.store.mark.epoch,
            restored=self.store.restored,
            released=released,
            directory=self.directory.current.version,
        )
        self.session.start()
        self.relay.start()
        self._clockwork.begin(self._sweep())
        self._lag = asyncio.get_running_loop().create_task(self.metrics.watch_loop(), name="loop lag")

    @property
    def failed(self) -> tuple[asyncio.Future[None], ...]:
        """One future for each part without which no letter moves; see :mod:`broker.life`."""
        return self.writer.failed, self.relay.failed, self.session.failed, self._clockwork.failed

    async def stop(self) -> None:
        """Drain and stop; see the module's docstring. Lets go of the store, whatever state it is in."""
        self._stopping.set()
        if self._lag is not None:
            self._lag.cancel()
        await self._clockwork.over()
        await self.session.stop()
        await self.relay.stop()
        await self.writer.close()
        try:
            self._count_progress()
        finally:
            self.store.close()
        _log.info("adapter_stopped")

    def readiness(self) -> Readiness:
        """What is there and what is missing."""
        return Readiness((self._check_store(), self._check_broker(), self._check_directory(), self._check_keys()))

    def _check_store(self) -> Check:
        free = self.room.free()
        if free < LEAST_FREE_BYTES:
            return Check("store", ok=False, code=ErrorCode.STORAGE_FULL, detail=f"{free} bytes free")
        if self._unwritable is not None:
            return Check("store", ok=False, code=self._unwritable)
        if self.store.restored:
            return Check("store", ok=True, detail=f"restored from an older copy; epoch {self.store.mark.epoch}")
        return Check("store", ok=True)

    def _check_broker(self) -> Check:
        state = self.session.state
        if state is SessionState.READY:
            return Check("broker", ok=True)
        code = ErrorCode.BROKER_BLOCKED if state is SessionState.BLOCKED else ErrorCode.NOT_CONNECTED
        return Check("broker", ok=False, code=code, detail=f"{state.value}: {self.session.last_error or 'not yet'}")

    def _check_directory(self) -> Check:
        if self.directory.problem is not None:
            return Check("directory", ok=False, code=self.directory.problem.code)
        state = self.directory.current.state(self.clock.now())
        return Check(
            "directory",
            ok=state != "expired",
            code=ErrorCode.DIRECTORY_EXPIRED if state == "expired" else None,
            detail=f"version {self.directory.current.version}, {state}",
        )

    def _check_keys(self) -> Check:
        expired = [purpose for purpose, days in self._certificate_days().items() if days <= 0]
        if expired:
            return Check("keys", ok=False, code=ErrorCode.KEY_EXPIRED, detail=", ".join(expired))
        if self.directory.current.key(self.key.kid) is None:
            return Check("keys", ok=False, code=ErrorCode.KEY_UNKNOWN, detail="our seal key is not in the directory")
        return Check("keys", ok=True)

    def _certificate_days(self) -> dict[str, float]:
        now = self.clock.now()
        certificates = {"transport": self._transport_certificate, "seal": self.key.certificate}
        return {
            purpose: (certificate.not_valid_after_utc - now).total_seconds() / 86400
            for purpose, certificate in certificates.items()
        }

    def _live(self) -> dict[str, float]:
        incoming, notices, relay = self.incoming.tally, self.notices.tally, self.relay
        return {
            "letters_accepted": self.acceptance.accepted,
            "letters_delivered_here": incoming.delivered,
            "letters_not_delivered_here": incoming.not_delivered,
            "letters_repeated": incoming.duplicates,
            "incidents": incoming.incidents,
            "receipts_stored": notices.stored,
            "receipts_repeated": notices.repeated,
            "receipts_conflicting": notices.conflicts,
            "receipts_rejected": notices.rejected,
            "messages_published": relay.published,
            "messages_confirmed": relay.confirmed,
            "messages_refused": relay.refused,
            "messages_lost": relay.lost,
            "store_commits": self.writer.commits,
            "session_connects": self.session.connects,
        }

    async def _recover(self, connection: Connection, items: Sequence[None]) -> list[int]:
        # This process owns the store alone, so no claim in it can be anybody's.
        released = sum(
            outbox.release_all(connection, source.table)
            for source in (ReceiptOutbox(), TransmissionOutbox(), DeadLetterOutbox())
        )
        return [released] * len(items)

    async def _sweep(self) -> None:
        """The clockwork: due repetitions, the mark, the directory file."""
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SWEEP_SECONDS):
                    await self._stopping.wait()
            try:
                await self.writer.submit(self._sweep_once, None)
                self._count_progress()
                self.store.mark.save(flush=False)
                await self._refresh_directory()
                self._unwritable = None
            except Refused as refusal:
                self._unwritable = refusal.code
                _log.error("sweep_waits", code=refusal.code)
            self.metrics.observe_delivered(self.notices.tally.delivered_after_ms)
            self.notices.tally.delivered_after_ms.clear()

    async def _sweep_once(self, connection: Connection, items: Sequence[None]) -> list[int]:
        # Run-out leases are not looked for: a claim is this process's own, which marks it as soon as it can.
        return [repeat_due(connection, self.clock.unix_ms())] * len(items)

    async def _refresh_directory(self) -> None:
        """Take a newer directory into force, and write down which one is, until the store has it."""
        self.directory.refresh()
        current = self.directory.current
        if current.digest != self._noted:
            await self.writer.submit(self._note_directory, current)
            self._noted = current.digest

    async def _note_directory(self, connection: Connection, directories: Sequence[Directory]) -> list[None]:
        set_value(connection, "directory_version", str(directories[-1].version))
        set_value(connection, "directory_digest", directories[-1].digest)
        return [None] * len(directories)

    def _count_progress(self) -> None:
        with self.store.readings.connect() as connection:
            self.store.mark.progress = progress(connection)
