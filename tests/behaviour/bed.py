"""A small government in a folder: an authority with real certificates, and adapters with real stores and real keys.

What lies between two adapters is done by hand: :meth:`Party.letters_out` and :meth:`Party.receipts_out` take from the
outbox what the relay would publish, :meth:`Bed.carry` makes of it what the broker would deliver. So a test can lose,
double, delay, reorder and forge.
"""

import asyncio
import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from sqlalchemy import Connection, Table, select

from agency_adapter.acceptance import Accepted
from agency_adapter.quarantine import DeadLetterOutbox
from agency_adapter.receipts import ReceiptOutbox
from agency_adapter.service import Adapter
from agency_adapter.settings import BrokerSettings, Settings
from agency_adapter.store import tables
from agency_adapter.transmissions import TransmissionOutbox
from broker import outbox
from broker.clock import Clock
from broker.names import from_exchange, inbox_queue, notices_queue
from broker.outbox import OutboxSource
from broker.publishing import Outgoing
from broker.session import Delivery
from schemas.directory import KeyPurpose
from schemas.envelope import Lane, parse_request
from trust import ijson
from trust.certificates import IssuingAuthority, RootAuthority, key_id, write_certificates
from trust.directory import Directory, sign_directory
from trust.keys import FileKey, generate_key
from trust.token import OpenedToken, Signer, TokenType, open_token

AUTHORITY = "TRSL"
NAMES = {
    "MPW": ("وزارة الأشغال العامة", "Ministry of Public Works"),
    "MOF": ("وزارة المالية", "Ministry of Finance"),
    "SAB": ("ديوان المحاسبة", "State Audit Bureau"),
    AUTHORITY: ("الجهة المشغّلة", "Central authority"),
}
SUBJECT = "بشأن صيانة الطرق"
BODY = "نفيدكم علماً بأن أعمال الصيانة تبدأ يوم الأحد."


def request(*recipients: str, **members: Any) -> dict[str, Any]:
    """A letter as a caller of the API would send it: to the first recipient, copies to the others."""
    copies = [{"agency": code, "role": "to" if number == 0 else "cc"} for number, code in enumerate(recipients)]
    return {"recipients": copies, "content": {"subject": SUBJECT, "body": BODY}} | members


def instant(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class Member:
    """One agency's record in the directory, as a test may change it before it is published."""

    code: str
    status: str = "active"
    accepted_types: list[str] = field(default_factory=list)
    may_send: list[str] = field(default_factory=list)
    keys: list[dict[str, Any]] = field(default_factory=list)

    def record(self) -> dict[str, Any]:
        ar, en = NAMES.get(self.code, (self.code, self.code))
        return {
            "code": self.code,
            "name_ar": ar,
            "name_en": en,
            "kind": "ministry",
            "status": self.status,
            "keys": self.keys,
            "accepted_types": self.accepted_types,
            "may_send": self.may_send,
        }

    def seal(self) -> dict[str, Any]:
        """The directory's entry of the agency's (first) seal key."""
        return next(key for key in self.keys if key["purpose"] == "seal")


class Bed:
    """See the module's docstring. ``clock`` is everybody's."""

    def __init__(self, folder: Path, codes: Sequence[str] = ("MPW", "MOF", "SAB")) -> None:
        self.folder = folder
        self.clock = Clock(0)
        self.now = self.clock.now()
        # Long before now and long after it: a test shifts the clock, not the certificates.
        self.validity = {
            "not_before": self.now - timedelta(days=30),
            "not_after": self.now + timedelta(days=365),
        }
        self.root = RootAuthority.create(
            folder / "root",
            not_before=self.now - timedelta(days=60),
            not_after=self.now + timedelta(days=3650),
        )
        self.issuing = IssuingAuthority.create(
            folder / "issuing",
            self.root,
            "Tarasul Issuing CA",
            not_before=self.now - timedelta(days=60),
            not_after=self.now + timedelta(days=1800),
        )
        self.members = {code: Member(code) for code in (*codes, AUTHORITY)}
        for code in codes:
            for purpose in (KeyPurpose.TRANSPORT, KeyPurpose.SEAL):
                self.enter_key(code, purpose)
        for purpose in (KeyPurpose.DIRECTORY, KeyPurpose.RECEIPTS):
            self.enter_key(AUTHORITY, purpose)
        self.version = 0
        self.valid_until = self.now + timedelta(days=30)
        self.parties: list[Party] = []

    # -- keys ------------------------------------------------------------------------------------------------

    def keys_folder(self, code: str) -> Path:
        return self.folder / "agencies" / code / "keys"

    def make_key(self, code: str, purpose: KeyPurpose, name: str | None = None, **validity: datetime) -> FileKey:
        """A key with its certificate, in the folder of ``code``; not in the directory."""
        folder = self.keys_folder(code)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        key_file = folder / f"{name or purpose.value}.key"
        public_key = generate_key(key_file)
        certificate = self.issuing.issue_certificate(purpose, code, public_key, **(self.validity | validity))
        write_certificates(key_file.with_suffix(".pem"), [certificate])
        return FileKey(key_file, key_file.with_suffix(".pem"))

    def enter_key(self, code: str, purpose: KeyPurpose, name: str | None = None, **validity: datetime) -> FileKey:
        """The same, and into the directory."""
        key = self.make_key(code, purpose, name, **validity)
        self.members[code].keys.append(
            {
                "kid": key_id(key.certificate),
                "purpose": purpose.value,
                "alg": "ES256",
                "not_before": instant(key.certificate.not_valid_before_utc),
                "not_after": instant(key.certificate.not_valid_after_utc),
                "certificate": _base64(key.certificate),
            }
        )
        return key

    def key(self, code: str, name: str = "seal") -> FileKey:
        folder = self.keys_folder(code)
        return FileKey(folder / f"{name}.key", folder / f"{name}.pem")

    # -- directory -------------------------------------------------------------------------------------------

    async def signed_directory(self) -> bytes:
        """The next version of the directory, as the members stand now."""
        self.version += 1
        payload = {
            "version": self.version,
            "issued_at": instant(self.clock.now()),
            "valid_until": instant(self.valid_until),
            "issuers": [_base64(self.issuing.certificate)],
            "agencies": [member.record() for member in self.members.values()],
        }
        key = self.key(AUTHORITY, "directory")
        return await sign_directory(payload, key, self.issuing.certificate, int(self.clock.unix()))

    async def publish_directory(self) -> None:
        """Sign the directory and give it to every adapter, as the authority's gateway will."""
        raw = await self.signed_directory()
        for code in self.members:
            file = self.folder / "agencies" / code / "directory.jws"
            file.parent.mkdir(parents=True, exist_ok=True)
            draft = file.with_suffix(".new")
            draft.write_bytes(raw)
            draft.replace(file)
        for party in self.parties:
            party.adapter.directory.refresh()

    async def directory(self) -> Directory:
        raw = (self.folder / "agencies" / AUTHORITY / "directory.jws").read_bytes()
        return Directory.open(raw, [self.root.certificate], self.clock.now())

    # -- adapters --------------------------------------------------------------------------------------------

    def settings(self, code: str, broker: BrokerSettings | None = None) -> Settings:
        folder = self.folder / "agencies" / code
        folder.mkdir(parents=True, exist_ok=True)
        root = folder / "root.pem"
        if not root.exists():
            root.write_bytes(self.root.certificate.public_bytes(serialization.Encoding.PEM))
        return Settings(agency=code, broker=broker or BrokerSettings(nodes=("127.0.0.1:1",)), base=folder)

    def open(self, code: str) -> "Party":
        """The adapter of ``code``, without a session to the broker."""
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
        """A token signed with a key of ``code``. Options: ``key`` (its name or the key), ``now`` (of ``iat``)."""
        key = options.get("key", "receipts" if code == AUTHORITY else "seal")
        source = self.key(code, key) if isinstance(key, str) else key
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
            self.adapter._note_progress()
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
            for lane in outbox.waiting_lanes(connection, source.table, now):
                keys = outbox.claim(connection, source.table, lane, most=10_000, now=now, lease_until=now + 60_000)
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


def _base64(certificate: Any) -> str:
    return base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode("ascii")


async def settle() -> None:
    """Let what is ready on the loop run."""
    await asyncio.sleep(0)
