"""Keeping the log, on both databases: what becomes a leaf, exactly once, and of each size one signed head."""

import asyncio
import hashlib
import itertools
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, update

import gateway.log_keeper
from broker.clock import Clock
from broker.writer import Writer
from gateway.journal import UNREADABLE, JournalKind, storable
from gateway.journal_reader import JournalReader
from gateway.lease import Lease, LeaseLost
from gateway.log_entries import Journalled, log_entry
from gateway.log_keeper import LogKeeper, own_log
from gateway.log_tree import consistency_proof, inclusion_proof
from gateway.store.opening import GatewayStore
from gateway.store.tables import leases, log_entries, log_heads
from schemas.directory import KeyPurpose
from schemas.errors import ErrorCode
from schemas.incidents import build_incident
from schemas.receipts import ReceiptEvent, build_receipt, parse_receipt
from schemas.statements import build_dead_letter
from tests.broker.bed import eventually
from tests.gateway.databases import place, postgres, store
from tests.gateway.deliveries import delivery
from tests.gateway.founding import opened_directory
from tests.support.authority import MadeAuthority
from tests.trust.forging import LETTER_ID, letter_claims
from trust import ijson
from trust.checkpoint import Checkpoint, LogKey, open_checkpoint
from trust.directory import Directory
from trust.errors import VerificationError
from trust.key_files import generate_key, generate_log_key
from trust.log_proof import LogProof
from trust.merkle import EMPTY_ROOT, verify_consistency
from trust.token import TokenType

__all__ = ["place", "postgres", "store"]
NOW = datetime.now(UTC).replace(microsecond=0)
ORIGIN = "tarasul.example/journal/1"
KEY = Ed25519PrivateKey.generate()
LOG = LogKey(ORIGIN, KEY.public_key())
ACCEPTED = ReceiptEvent.ACCEPTED.uri
RECORDED = "urn:x-tarasul:event:recorded"


@dataclass(frozen=True)
class InForce:
    current: Directory


@dataclass
class Signing:
    """An authority of three agencies, and what their keys sign."""

    made: MadeAuthority
    directory: Directory

    async def token(
        self, code: str, claims: dict[str, Any], typ: TokenType, key: KeyPurpose = KeyPurpose.SEAL
    ) -> bytes:
        [token] = await self.made.signer(code, key).sign(typ, [ijson.dump(claims)], int(NOW.timestamp()))
        return token.text

    async def letter(self, code: str = "MPW", **members: Any) -> bytes:
        """To MOF; the same bytes each time but for the signature, which counts for nothing."""
        return await self.token(code, letter_claims(self.made) | members, TokenType.LETTER)

    async def receipt(self, number: int = 0) -> bytes:
        claims = build_receipt(
            event=ReceiptEvent.DELIVERED,
            issuer="MOF",
            audience="MPW",
            jti=LETTER_ID,
            issued_at=number,
            occurred_at=number,
            thread_id=None,
            letter_id=LETTER_ID,
            recipient="MOF",
            digest="0" * 64,
            details={},
        )
        return await self.token("MOF", claims, TokenType.RECEIPT)


@dataclass
class Desk:
    """A journal reader and a keeper of the log on one store."""

    store: GatewayStore
    writer: Writer
    reader: JournalReader
    keeper: LogKeeper
    signing: Signing
    _offset: int = field(default=-1)

    async def record(self, body: bytes, **parts: Any) -> None:
        """Let the journal have a message."""
        self._offset += 1
        await self.reader.receive([delivery(body, offset=self._offset, **parts)])

    async def take_all(self) -> None:
        while await self.keeper.take_some():
            pass

    def entries(self) -> list[dict[str, Any]]:
        return [json.loads(entry) for entry in self.raw_entries()]

    def raw_entries(self) -> list[bytes]:
        with self.store.readings.connect() as connection:
            rows = connection.execute(select(log_entries.c.entry).order_by(log_entries.c.number))
            return [bytes(row.entry) for row in rows]

    def said(self) -> list[str]:
        """The one event of each entry."""
        return [next(iter(entry["events"])) for entry in self.entries()]

    def checkpoints(self) -> list[Checkpoint]:
        """All that were signed, verified."""
        with self.store.readings.connect() as connection:
            notes = connection.execute(select(log_heads.c.note).order_by(log_heads.c.size)).scalars()
            return [open_checkpoint(bytes(note), LOG)[0] for note in notes if note is not None]

    def proof(self, index: int) -> LogProof:
        """Of an entry, under the newest checkpoint."""
        with self.store.readings.connect() as connection:
            size, note = connection.execute(
                select(log_heads.c.size, log_heads.c.note).order_by(log_heads.c.size.desc()).limit(1)
            ).one()
            return LogProof(index, tuple(inclusion_proof(connection, index, size)), bytes(note))


@pytest.fixture(scope="module")
def signing(tmp_path_factory: pytest.TempPathFactory) -> Signing:
    made = MadeAuthority(tmp_path_factory.mktemp("log"), NOW, ("MPW", "MOF", "SAB"))
    return Signing(made, made.directory())


@pytest.fixture
async def desk(store: GatewayStore, signing: Signing) -> AsyncIterator[Desk]:
    writer, clock = Writer(store.engine), Clock()
    writer.start()
    for_journal, for_log = Lease("journal"), Lease("log")
    assert await writer.submit(for_journal.take_all, None)
    assert await writer.submit(for_log.take_all, None)
    reader = JournalReader(writer, for_journal, clock)
    await reader.begin()
    keeper = LogKeeper(writer, for_log, InForce(signing.directory), ORIGIN, KEY, clock)
    yield Desk(store, writer, reader, keeper, signing)
    await writer.close()


# What is said


async def test_an_authentic_letter_is_accepted_and_that_is_proved_by_a_standard_proof(desk: Desk) -> None:
    letter = await desk.signing.letter()
    await desk.record(letter)
    await desk.take_all()
    assert await desk.keeper.sign()
    [entry] = desk.entries()
    digest = hashlib.sha256(letter.rpartition(b".")[0]).hexdigest()
    claims = letter_claims(desk.signing.made)
    receipt = parse_receipt(entry | {"aud": "MPW", "iat": entry["toe"]})
    assert (receipt.iss, receipt.event, receipt.txn) == ("TRSL", ReceiptEvent.ACCEPTED, claims["thread_id"])
    assert entry["sub_id"] == {
        "format": "urn:x-tarasul:transmission",
        "letter": claims["id"],
        "recipient": "MOF",
        "digest": digest,
    }
    proof = LogProof.read(bytes(desk.proof(0)))
    assert proof.verify(desk.raw_entries()[0], LOG).size == 1


@pytest.mark.parametrize(
    "parts",
    [
        {"exchange": "from.MOF"},  # who is not its signer
        {"exchange": "from.TRSL"},
        {"exchange": "correspondence"},  # the broker vouches for nobody
        {"routing_key": "SAB.routine"},  # to whom it is not addressed
        {"routing_key": "mof.routine"},
        {"routing_key": ".routine"},
    ],
)
async def test_a_letter_that_is_not_authentic_is_recorded_and_not_accepted(desk: Desk, parts: dict[str, str]) -> None:
    await desk.record(await desk.signing.letter(), **parts)
    await desk.take_all()
    assert desk.said() == [RECORDED]


async def test_what_is_forged_or_no_letter_is_recorded_and_not_accepted(desk: Desk) -> None:
    letter = await desk.signing.letter()
    other_sender = await desk.signing.letter("MOF")  # which says that it is from MPW
    for body in (b"", b"garbage", letter[:-8] + b"AAAAAAAA", await desk.signing.receipt(), b"\xff" * 300):
        await desk.record(body)
    await desk.record(other_sender, exchange="from.MOF")
    await desk.take_all()
    assert desk.said() == [RECORDED] * 6


async def test_receipts_statements_and_incidents_are_leaves_of_their_own(desk: Desk) -> None:
    receipts = [await desk.signing.receipt(number) for number in range(3)]
    await desk.record(b"\n".join(receipts), exchange="from.MOF", routing_key="MPW.notice")
    letter = await desk.signing.letter()
    digest = hashlib.sha256(letter.rpartition(b".")[0]).hexdigest()
    given_up = build_dead_letter(
        agency="MOF", recipient="MOF", digest=digest, reason="not_addressed", stage="inbox", attempts=1,
        exchange="from.MPW", routing_key="MOF.routine", received_at=1, given_up_at=2,
    )  # fmt: skip
    statement = await desk.signing.token("MOF", given_up, TokenType.DEAD_LETTER)
    await desk.record(letter, exchange="from.MOF", routing_key="dead-letter", statement=statement)
    notice = build_incident(
        issuer="TRSL", audience="MPW", jti=LETTER_ID, issued_at=1, digest=digest, reason="foreign_exchange",
        routing_key="MOF.routine", received_at=1,
    )  # fmt: skip
    incident = await desk.signing.token("TRSL", notice, TokenType.INCIDENT, KeyPurpose.RECEIPTS)
    await desk.record(incident, exchange="from.TRSL", routing_key="MPW.order")
    await desk.take_all()
    told = [entry["events"][RECORDED] for entry in desk.entries()]
    assert [each["type"] for each in told] == ["secevent+jwt"] * 3 + ["tarasul-dead-letter+jws", "tarasul-incident+jws"]
    assert [each["publisher"] for each in told] == ["MOF"] * 4 + ["TRSL"]
    tokens = [*receipts, statement, incident]
    digests = [hashlib.sha256(token.rpartition(b".")[0]).hexdigest() for token in tokens]
    assert [entry["sub_id"]["digest"] for entry in desk.entries()] == digests


async def test_the_authoritys_own_orders_and_marks_are_no_leaves(desk: Desk) -> None:
    await desk.record(b'{"mark":"1234"}', exchange="from.TRSL", routing_key="read-mark")
    await desk.record(b"an order", exchange="from.TRSL", routing_key="MPW.order")
    await desk.record(b"what somebody else calls an order", exchange="from.MOF", routing_key="MPW.order")
    await desk.take_all()
    assert [entry["events"] for entry in desk.entries()] == [{RECORDED: {"type": "unreadable", "publisher": "MOF"}}]


@given(
    kind=st.sampled_from(JournalKind),
    publisher=st.sampled_from([None, "MPW", "TRSL"]),
    routing_key=st.text(max_size=30).map(storable) | st.sampled_from(["MOF.routine", "MPW.order", "."]),
    body=st.none() | st.binary(max_size=200),
    typ=st.sampled_from([*(each.value for each in TokenType), UNREADABLE]),
    at=st.integers(0, 2**47),
)
def test_whatever_the_journal_has_stops_nothing(
    signing: Signing, kind: JournalKind, publisher: str | None, routing_key: str, body: bytes | None, typ: str, at: int
) -> None:
    token = Journalled(kind, routing_key, publisher, at, hashlib.sha256(body or b"").hexdigest(), typ, body)
    entry = log_entry(token, signing.directory, NOW)
    if entry is not None:
        assert not entry.accepted
        assert ijson.parse(entry.entry, max_bytes=1_000)["iss"] == "TRSL"


def test_a_key_that_is_not_the_one_in_the_directory_signs_nothing(authority: Path) -> None:
    key_file = authority / "authority" / "keys" / "log.key"
    directory = opened_directory(authority)
    log, key = own_log(key_file, directory)
    assert (log, directory.log) == (LogKey(log.origin, key.public_key()), log)
    key_file.unlink()
    for make in (generate_log_key, generate_key):
        make(key_file)
        with pytest.raises(VerificationError) as caught:
            own_log(key_file, directory)
        assert caught.value.code == ErrorCode.KEY_UNREADABLE
        key_file.unlink()


# Once


async def test_a_letter_that_is_published_again_is_the_same_leaf_and_to_another_recipient_another(desk: Desk) -> None:
    claims = letter_claims(desk.signing.made)
    both = [{"agency": code, "role": "to"} for code in ("MOF", "SAB")]
    letter = await desk.signing.letter(recipients=[claims["recipients"][0] | each for each in both])
    for lane in ("MOF.routine", "SAB.routine", "MOF.routine"):
        await desk.record(letter, routing_key=lane)
        await desk.take_all()
    await desk.record(letter, routing_key="SAB.routine")
    await desk.take_all()
    assert [entry["sub_id"]["recipient"] for entry in desk.entries()] == ["MOF", "SAB"]
    assert desk.said() == [ACCEPTED] * 2
    assert len({entry["jti"] for entry in desk.entries()}) == 2


async def test_what_was_accepted_is_not_taken_back_by_a_replay_from_elsewhere(desk: Desk) -> None:
    letter = await desk.signing.letter()
    await desk.record(letter)
    await desk.record(letter, exchange="from.MOF")
    await desk.take_all()
    assert desk.said() == [ACCEPTED]


async def test_a_replay_that_comes_first_does_not_keep_the_letter_from_being_accepted(desk: Desk) -> None:
    letter = await desk.signing.letter()
    await desk.record(letter, exchange="from.MOF")
    await desk.take_all()
    await desk.record(letter)
    await desk.take_all()
    assert desk.said() == [RECORDED, ACCEPTED]
    for exchange in ("from.MOF", "from.MPW"):
        await desk.record(letter, exchange=exchange)
        await desk.take_all()
    assert desk.said() == [RECORDED, ACCEPTED]


async def test_a_replay_and_its_letter_may_be_taken_together(desk: Desk) -> None:
    letter = await desk.signing.letter()
    for exchange in ("from.MOF", "from.MPW", "from.SAB", "from.MPW"):
        await desk.record(letter, exchange=exchange)
    await desk.take_all()
    assert desk.said() == [RECORDED, ACCEPTED]


async def test_the_log_goes_on_where_it_stood_token_by_token(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway.log_keeper, "MOST_TAKEN", 2)
    receipts = [await desk.signing.receipt(number) for number in range(5)]
    await desk.record(b"\n".join(receipts), exchange="from.MOF", routing_key="MPW.notice")
    assert [await desk.keeper.take_some() for _ in range(4)] == [True, True, False, False]
    assert len(desk.entries()) == 5


# Heads


async def test_of_what_is_not_new_there_is_no_new_checkpoint(desk: Desk) -> None:
    assert await desk.keeper.sign()
    assert not await desk.keeper.sign()
    assert desk.checkpoints() == [Checkpoint(ORIGIN, 0, EMPTY_ROOT)]
    await desk.record(b"one")
    await desk.take_all()
    assert await desk.keeper.sign()
    assert not await desk.keeper.sign()
    assert [checkpoint.size for checkpoint in desk.checkpoints()] == [0, 1]


async def test_checkpoints_are_one_chain(desk: Desk) -> None:
    for number in range(20):
        await desk.record(b"%d" % number)
        await desk.take_all()
        await desk.keeper.sign()
    chain = desk.checkpoints()
    assert [checkpoint.size for checkpoint in chain] == list(range(1, 21))
    with desk.store.readings.connect() as connection:
        for older, newer in itertools.pairwise(chain):
            path = consistency_proof(connection, older.size, newer.size)
            verify_consistency(older.size, older.root, newer.size, newer.root, path)


async def test_a_head_that_was_committed_and_not_signed_is_signed_by_the_next(desk: Desk) -> None:
    await desk.record(b"one")
    await desk.take_all()
    committed = await desk.writer.submit(desk.keeper._stand_by, None)
    await desk.record(b"two")
    await desk.take_all()
    assert desk.checkpoints() == []
    assert await desk.keeper.sign()
    [first] = desk.checkpoints()
    assert committed is not None
    assert (first.size, first.root) == (committed.size, committed.root) == (1, first.root)
    assert await desk.keeper.sign()
    assert [checkpoint.size for checkpoint in desk.checkpoints()] == [1, 2]


async def test_who_has_lost_the_lease_neither_appends_nor_stands_by_anything(desk: Desk) -> None:
    await desk.record(b"one")
    with desk.store.engine.begin() as connection:
        connection.execute(update(leases).where(leases.c.name == "log").values(holder="another"))
    with pytest.raises(LeaseLost):
        await desk.keeper.take_some()
    with pytest.raises(LeaseLost):
        await desk.keeper.sign()
    assert (desk.entries(), desk.checkpoints()) == ([], [])


async def test_the_keeper_follows_the_journal_until_it_is_told_to_stop(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway.log_keeper, "EVERY_SECONDS", 0.01)
    stopping = asyncio.Event()
    keeping = asyncio.create_task(desk.keeper.keep_until(stopping))
    for number in range(3):
        await desk.record(b"%d" % number)
        await eventually(lambda expected=number + 1: desk.keeper.size == expected)  # type: ignore[misc]
    stopping.set()
    await keeping
    assert desk.checkpoints()[-1].size == 3
