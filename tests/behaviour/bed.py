"""A small government in a folder: an authority with real certificates, and adapters with real stores and real keys.

What lies between two adapters is done by hand: :meth:`Party.letters_out` and :meth:`Party.receipts_out` take from the
outbox what the relay would publish, :meth:`Bed.carry` makes of it what the broker would deliver. So a test can lose,
double, delay, reorder and forge.
"""

import base64
import functools
import json
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, select

from agency_adapter.acceptance import Accepted
from agency_adapter.quarantine import DeadLetterOutbox
from agency_adapter.receipts import ReceiptOutbox
from agency_adapter.service import Adapter
from agency_adapter.settings import BrokerSettings, Settings
from agency_adapter.store import tables
from agency_adapter.store.migrating import migrate
from agency_adapter.transmissions import TransmissionOutbox
from broker import outbox
from broker.clock import Clock
from broker.names import from_exchange, inbox_queue, notices_queue
from broker.outbox import OutboxSource
from broker.publishing import Outgoing
from broker.session import Delivery
from broker.sqlite import open_store
from schemas.directory import KeyPurpose
from schemas.envelope import Lane, parse_request
from schemas.identifiers import AUTHORITY
from tests.support.authority import MadeAuthority
from trust import ijson
from trust.token import OpenedToken, Signer, TokenType, open_token

SUBJECT = "بشأن صيانة الطرق"
BODY = "نفيدكم علماً بأن أعمال الصيانة تبدأ يوم الأحد."


def request(*recipients: str, **members: Any) -> dict[str, Any]:
    """A letter as a caller of the API would send it: to the first recipient, copies to the others."""
    copies = [{"agency": code, "role": "to" if number == 0 else "cc"} for number, code in enumerate(recipients)]
    return {"recipients": copies, "content": {"subject": SUBJECT, "body": BODY}} | members


def instant(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@functools.cache
def _empty_store() -> bytes:
    """A store with tables and nothing else: making the tables is most of an adapter's first start."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "store.db"
        engine = open_store(file)
        migrate(engine, None)
        engine.dispose()
        return file.read_bytes()


class Bed:
    """See the module's docstring. ``clock`` is everybody's; ``authority`` makes keys and changes the directory."""

    def __init__(self, folder: Path, codes: Sequence[str] = ("MPW", "MOF", "SAB"), at: datetime | None = None) -> None:
        self.folder = folder
        self.clock = Clock(0 if at is None else (at - datetime.now(UTC)).total_seconds())
        self.authority = MadeAuthority(folder, self.clock.now(), codes)
        self.authority.version = 0
        self.codes = (*codes, AUTHORITY)
        self.parties: list[Party] = []

    # -- directory -------------------------------------------------------------------------------------------

    async def publish_directory(self) -> None:
        """Sign the next directory and give it to every adapter, as the authority's gateway will."""
        self.authority.version += 1
        self.authority.now = self.clock.now().replace(microsecond=0)
        raw = await self.authority.sign()
        for code in self.codes:
            file = self.folder / "agencies" / code / "directory.jws"
            draft = file.with_suffix(".new")
            draft.write_bytes(raw)
            draft.replace(file)
        for party in self.parties:
            party.adapter.directory.refresh()

    # -- adapters --------------------------------------------------------------------------------------------

    def settings(self, code: str, broker: BrokerSettings | None = None) -> Settings:
        folder = self.folder / "agencies" / code
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "root.pem").write_bytes(self.authority.root_file.read_bytes())
        return Settings(agency=code, broker=broker or BrokerSettings(nodes=("127.0.0.1:1",)), base=folder)

    def open(self, code: str) -> "Party":
        """The adapter of ``code``, without a session to the broker."""
        store = self.folder / "agencies" / code / "store.db"
        if not store.exists():
            store.parent.mkdir(parents=True, exist_ok=True)
            store.write_bytes(_empty_store())
        party = Party(self, code, Adapter(self.settings(code), self.clock))
        party.adapter.writer.start()
        self.parties.append(party)
        return party

    async def close(self) -> None:
        for party in list(self.parties):
            await party.close()

    # -- what lies between -----------------------------------------------------------------------------------

    async def sign(
        self, code: str, claims: dict[str, Any] | bytes, typ: TokenType = TokenType.LETTER, **options: Any
    ) -> bytes:
        """A token signed with a key of ``code``. Options: ``key`` (another one), ``now`` (of ``iat``)."""
        purpose = KeyPurpose.RECEIPTS if code == AUTHORITY else KeyPurpose.SEAL
        source = options.get("key") or self.authority.file_key(code, purpose)
        payload = claims if isinstance(claims, bytes) else ijson.dump(claims)
        now = options.get("now", int(self.clock.unix()))
        [token] = await Signer(source).sign(typ, [payload], now)
        return token.text

    @staticmethod
    def carry(publisher: str, message: Outgoing | bytes, routing_key: str = "", **changes: Any) -> Delivery:
        """What the broker delivers of ``message``, published by ``publisher`` through its own exchange."""
        body = message if isinstance(message, bytes) else message.body
        routing_key = routing_key or (message.routing_key if isinstance(message, Outgoing) else "")
        code, _, kind = routing_key.partition(".")
        queue = notices_queue(code) if kind == "notice" else inbox_queue(code, Lane(kind))
        parts: dict[str, Any] = {
            "queue": queue,
            "exchange": from_exchange(publisher),
            "routing_key": routing_key,
            "body": body,
            "headers": {},
            "content_type": "application/jose",
            "expiration": None,
            "redelivered": False,
        }
        return Delivery(**(parts | changes))


class Party:
    """One agency's adapter in the bed."""

    def __init__(self, bed: Bed, code: str, adapter: Adapter) -> None:
        self.bed = bed
        self.code = code
        self.adapter = adapter

    async def close(self) -> None:
        if self in self.bed.parties:
            self.bed.parties.remove(self)
            await self.adapter.writer.close()
            self.adapter._count_progress()
            self.adapter.store.close()

    async def crash(self) -> None:
        """End as a kill would: what was not committed is gone, the mark beside the store is as it was."""
        self.bed.parties.remove(self)
        await self.adapter.writer.close()
        self.adapter.store.engine.dispose()
        self.adapter.store.readings.dispose()
        self.adapter.store.lock.release()

    async def send(self, *recipients: str, key: str | None = None, **members: Any) -> Accepted:
        return await self.adapter.acceptance.accept(parse_request(request(*recipients, **members)), key)

    # -- outboxes --------------------------------------------------------------------------------------------

    async def take(self, source: OutboxSource, *, confirm: bool = True) -> list[Outgoing]:
        """Claim everything that is due in ``source``, as the relay does; with ``confirm``, the broker has it."""

        async def claim(connection: Connection, items: Sequence[None]) -> list[list[Outgoing]]:
            now = self.bed.clock.unix_ms()
            found: list[Outgoing] = []
            for head in outbox.lane_heads(connection, source.table):
                keys = outbox.due_keys(connection, source.table, head, most=10_000, now=now)
                if not keys:
                    continue
                outbox.claim(connection, source.table, keys, lease_until=now + 60_000)
                found += source.load(connection, keys)
                if confirm:
                    source.confirm(connection, keys, now)
            return [found] * len(items)

        return await self.adapter.writer.submit(claim, None)

    async def letters_out(self) -> list[Delivery]:
        return [self.bed.carry(self.code, message) for message in await self.take(TransmissionOutbox())]

    async def receipts_out(self) -> list[Delivery]:
        return [self.bed.carry(self.code, message) for message in await self.take(ReceiptOutbox())]

    async def dead_letters_out(self) -> list[Outgoing]:
        return await self.take(DeadLetterOutbox())

    # -- arrivals --------------------------------------------------------------------------------------------

    async def receive(self, *deliveries: Delivery) -> None:
        """Take deliveries as the session would hand them over, queue by queue."""
        for queue in dict.fromkeys(delivery.queue for delivery in deliveries):
            batch = [delivery for delivery in deliveries if delivery.queue == queue]
            if queue == notices_queue(self.code):
                await self.adapter.notices.receive(batch)
            else:
                await self.adapter.incoming.receive(Lane(queue.rsplit(".", 1)[1]), batch)

    # -- looking ---------------------------------------------------------------------------------------------

    def rows(self, table: Table) -> list[Any]:
        with self.adapter.store.readings.connect() as connection:
            return list(connection.execute(select(table).order_by(table.c.seq)))

    def states(self) -> dict[tuple[str, str], str]:
        """State of each transmission by (digest, recipient)."""
        return {(row.digest, row.recipient): row.state for row in self.rows(tables.transmissions)}

    def inbox(self) -> list[Any]:
        return self.rows(tables.inbox)

    def quarantine(self) -> list[Any]:
        return self.rows(tables.quarantine)

    def receipts(self) -> list[OpenedToken]:
        """Receipts that this agency signed, in their order."""
        return [open_token(row.receipt_jws, TokenType.RECEIPT) for row in self.rows(tables.receipts_issued)]


async def exchange(sender: Party, recipient: Party) -> None:
    """Everything that waits at either side arrives at the other."""
    await recipient.receive(*await letters_for(recipient.code, sender))
    receipts = [delivery for delivery in await recipient.receipts_out() if delivery.queue == notices_queue(sender.code)]
    if receipts:
        await sender.receive(*receipts)


async def letters_for(code: str, sender: Party) -> list[Delivery]:
    """The letters that ``sender`` has waiting for ``code``; the others are confirmed and lost."""
    return [delivery for delivery in await sender.letters_out() if delivery.routing_key.startswith(f"{code}.")]


def claims_of(token: bytes) -> dict[str, Any]:
    """The payload of a token, unverified."""
    part = token.split(b".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4)))
    return found


def encoded(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def decoded(part: bytes) -> bytes:
    return base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4))
