"""Every kind of message that is not authentic: kept, reported, answered to nobody, without effect on any letter."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from agency_adapter.store import tables
from broker.names import from_exchange, orders_queue
from broker.session import Delivery
from schemas.directory import KeyPurpose, RevocationKind
from schemas.identifiers import AUTHORITY, uuid7
from schemas.reasons import IncidentReason
from schemas.receipts import ReceiptEvent, build_receipt
from tests.behaviour.aftermath import Snapshot, assert_put_aside
from tests.behaviour.bed import Bed, Party, claims_of, decoded, encoded
from trust.token import TokenType

R = IncidentReason
OF_THE_AUTHORITY = {R.STATEMENT_WRONG_SIGNER}
"""No adapter reads statements."""


@dataclass(frozen=True)
class Scene:
    """MPW has sent MOF a letter, which is under way; the intruder is SAB, with an account and keys of its own."""

    bed: Bed
    letter: Delivery

    def seal(self, code: str) -> str:
        return self.bed.authority.file_key(code, KeyPurpose.SEAL).kid

    async def forged(self, publisher: str = "SAB", by: str = "SAB", **options: Any) -> Delivery:
        """The letter's content, signed by another, through another's exchange."""
        token = await self.bed.sign(by, claims_of(self.letter.body) | {"sender": {"agency": by}}, **options)
        return self.bed.carry(publisher, token, "MOF.routine")


Make = Callable[[Scene], Awaitable[Delivery]]
CASES: list[tuple[str, IncidentReason, Make]] = []


def case(name: str, reason: IncidentReason) -> Callable[[Make], Make]:
    def note(make: Make) -> Make:
        CASES.append((name, reason, make))
        return make

    return note


# -- what the transport gives away ---------------------------------------------------------------------------


@case("the genuine bytes through the intruder's exchange", R.FOREIGN_EXCHANGE)
async def _(scene: Scene) -> Delivery:
    return replace(scene.letter, exchange=from_exchange("SAB"))


@case("the genuine bytes, dead-lettered by the broker", R.FOREIGN_EXCHANGE)
async def _(scene: Scene) -> Delivery:
    return replace(scene.letter, exchange="dead-letter", headers={"x-first-death-exchange": "from.MPW"})


@case("the genuine bytes through the default exchange", R.FOREIGN_EXCHANGE)
async def _(scene: Scene) -> Delivery:
    return replace(scene.letter, exchange="")


@case("the genuine bytes through the authority's exchange, without its statement", R.FOREIGN_EXCHANGE)
async def _(scene: Scene) -> Delivery:
    return replace(scene.letter, exchange=from_exchange(AUTHORITY))


@case("a letter in the name of SAB, signed by SAB, through MPW's exchange", R.FOREIGN_EXCHANGE)
async def _(scene: Scene) -> Delivery:
    return await scene.forged(publisher="MPW")


@case("CC", R.CARRIES_CC)
async def _(scene: Scene) -> Delivery:
    return replace(scene.letter, headers={"CC": ["MOF.urgent"]})


@case("BCC", R.CARRIES_BCC)
async def _(scene: Scene) -> Delivery:
    return replace(scene.letter, headers={"BCC": ["MOF.urgent"]})


@case("an expiration", R.CARRIES_EXPIRATION)
async def _(scene: Scene) -> Delivery:
    return replace(scene.letter, expiration="60000")


@case("an empty expiration", R.CARRIES_EXPIRATION)
async def _(scene: Scene) -> Delivery:
    return replace(scene.letter, expiration="")


@case("a forged death", R.CARRIES_FOREIGN_HEADER)
async def _(scene: Scene) -> Delivery:
    return replace(scene.letter, headers={"x-death": [{"exchange": "from.MPW"}], "x-delivery-count": 1})


@case("a header with a name that overrides what it is shown in", R.CARRIES_FOREIGN_HEADER)
async def _(scene: Scene) -> Delivery:
    return replace(scene.letter, headers={"\u202e\x1b[2Jreddaeh\ufffe": None})


@case("a statement, which only the authority sends along", R.CARRIES_FOREIGN_HEADER)
async def _(scene: Scene) -> Delivery:
    return replace(scene.letter, headers={"statement": "e30.e30.e30"})


@case("a routing key of another agency", R.ROUTING_KEY_FOREIGN)
async def _(scene: Scene) -> Delivery:
    return replace(scene.letter, routing_key="SAB.routine")


@case("the other lane's routing key", R.ROUTING_KEY_FOREIGN)
async def _(scene: Scene) -> Delivery:
    return replace(scene.letter, routing_key="MOF.urgent")


@case("a routing key that no reader of JSON would take", R.ROUTING_KEY_FOREIGN)
async def _(scene: Scene) -> Delivery:
    return replace(scene.letter, routing_key="e\u0301\ufffe\U0010ffff\u202e\x00" * 16)


# -- what the signature gives away ---------------------------------------------------------------------------


@case("an altered letter", R.SIGNATURE_INVALID)
async def _(scene: Scene) -> Delivery:
    head, payload, signature = scene.letter.body.split(b".")
    altered = encoded(decoded(payload).replace(b"ROUTINE", b"URGENT_"))
    return replace(scene.letter, body=b".".join((head, altered, signature)))


@case("another's signature under the sender's name", R.SIGNATURE_INVALID)
async def _(scene: Scene) -> Delivery:
    theirs = (await scene.forged()).body.rpartition(b".")[2]
    return replace(scene.letter, body=scene.letter.body.rpartition(b".")[0] + b"." + theirs)


@case("a key that the directory does not have", R.KEY_UNKNOWN)
async def _(scene: Scene) -> Delivery:
    unlisted = scene.bed.authority.add_key("MPW", KeyPurpose.SEAL, name="unlisted", listed=False)
    return await scene.forged(publisher="MPW", by="MPW", key=unlisted)


@case("a key of another purpose", R.KEY_WRONG_PURPOSE)
async def _(scene: Scene) -> Delivery:
    return await scene.forged(publisher="MPW", by="MPW", key=scene.bed.authority.file_key("MPW", KeyPurpose.TRANSPORT))


@case("the authority's receipts key under a letter", R.KEY_WRONG_PURPOSE)
async def _(scene: Scene) -> Delivery:
    return await scene.forged(publisher=AUTHORITY, by=AUTHORITY)


@case("a key revoked as compromised", R.KEY_COMPROMISED)
async def _(scene: Scene) -> Delivery:
    compromised = scene.bed.authority.add_key("MPW", KeyPurpose.SEAL, name="compromised")
    scene.bed.authority.revoke(compromised.kid, scene.bed.clock.now(), RevocationKind.COMPROMISED)
    await scene.bed.publish_directory()
    return await scene.forged(publisher="MPW", by="MPW", key=compromised)


# -- what is no letter ---------------------------------------------------------------------------------------


@case("nothing", R.TOKEN_MALFORMED)
async def _(scene: Scene) -> Delivery:
    return replace(scene.letter, body=b"")


@case("bytes that are no text", R.TOKEN_MALFORMED)
async def _(scene: Scene) -> Delivery:
    return replace(scene.letter, body=bytes(range(256)))


@case("the letter with a second line", R.TOKEN_MALFORMED)
async def _(scene: Scene) -> Delivery:
    return replace(scene.letter, body=scene.letter.body + b"\n")


@case("more than any letter may be", R.TOKEN_TOO_LARGE)
async def _(scene: Scene) -> Delivery:
    return replace(scene.letter, body=scene.letter.body + b"A" * 350 * 1024)


@case("a receipt among the letters", R.WRONG_TOKEN_TYPE)
async def _(scene: Scene) -> Delivery:
    return replace(scene.letter, body=await receipt(scene, ReceiptEvent.DELIVERED, by="MPW"))


# -- receipts ------------------------------------------------------------------------------------------------


async def receipt(scene: Scene, event: ReceiptEvent, by: str, **changes: Any) -> bytes:
    """A receipt for MPW's letter, of MOF's making unless changed, signed by ``by``."""
    parts: dict[str, Any] = {
        "event": event,
        "issuer": by,
        "audience": "MPW",
        "jti": uuid7(scene.bed.clock.unix_ms(), b"0123456789"),
        "issued_at": int(scene.bed.clock.unix()),
        "occurred_at": int(scene.bed.clock.unix()),
        "thread_id": None,
        "letter_id": None,
        "recipient": "MOF",
        "digest": "ab" * 32,
        "details": {},
    }
    options = {name: changes.pop(name) for name in ("key", "now") if name in changes}
    return await scene.bed.sign(by, build_receipt(**(parts | changes)), TokenType.RECEIPT, **options)


async def notice(scene: Scene, event: ReceiptEvent, by: str, publisher: str = "SAB", **changes: Any) -> Delivery:
    return scene.bed.carry(publisher, await receipt(scene, event, by, **changes), "MPW.notice")


@case("a receipt for no letter", R.RECEIPT_UNMATCHED)
async def _(scene: Scene) -> Delivery:
    return await notice(scene, ReceiptEvent.DELIVERED, by="MOF")


@case("another agency's word about MOF's copy", R.RECEIPT_WRONG_SIGNER)
async def _(scene: Scene) -> Delivery:
    return await notice(scene, ReceiptEvent.DELIVERED, by="SAB", digest=digest_of(scene))


@case("MOF's name under another's signature", R.RECEIPT_WRONG_SIGNER)
async def _(scene: Scene) -> Delivery:
    return await notice(scene, ReceiptEvent.DELIVERED, by="SAB", issuer="MOF", digest=digest_of(scene))


@case("a recipient that speaks for the authority", R.RECEIPT_WRONG_SIGNER)
async def _(scene: Scene) -> Delivery:
    details = {"reason": "recipient_not_active"}
    return await notice(scene, ReceiptEvent.HELD, by="MOF", details=details, digest=digest_of(scene))


@case("an authority that says delivered for MOF", R.RECEIPT_WRONG_SIGNER)
async def _(scene: Scene) -> Delivery:
    return await notice(scene, ReceiptEvent.DELIVERED, by=AUTHORITY, digest=digest_of(scene))


@case("an expiry under the authority's seal, not its receipts key", R.RECEIPT_WRONG_SIGNER)
async def _(scene: Scene) -> Delivery:
    seal = scene.bed.authority.file_key(AUTHORITY, KeyPurpose.SEAL)
    details = {"reason": "expired"}
    return await notice(
        scene, ReceiptEvent.NOT_DELIVERED, by=AUTHORITY, key=seal, details=details, digest=digest_of(scene)
    )


@case("an agency with a receipts key of its own", R.RECEIPT_WRONG_SIGNER)
async def _(scene: Scene) -> Delivery:
    key = scene.bed.authority.add_key("SAB", KeyPurpose.RECEIPTS)
    await scene.bed.publish_directory()
    details = {"reason": "expired"}
    return await notice(scene, ReceiptEvent.NOT_DELIVERED, by="SAB", key=key, details=details, digest=digest_of(scene))


@case("a receipt for another agency", R.RECEIPT_WRONG_SIGNER)
async def _(scene: Scene) -> Delivery:
    return await notice(scene, ReceiptEvent.DELIVERED, by="MOF", audience="SAB", digest=digest_of(scene))


@case("an event that nobody knows", R.RECEIPT_MALFORMED)
async def _(scene: Scene) -> Delivery:
    claims = claims_of(await receipt(scene, ReceiptEvent.DELIVERED, by="MOF", digest=digest_of(scene)))
    token = await scene.bed.sign("MOF", claims | {"events": {"urn:x-tarasul:event:eaten": {}}}, TokenType.RECEIPT)
    return scene.bed.carry("SAB", token, "MPW.notice")


@case("a receipt of no agency", R.RECEIPT_MALFORMED)
async def _(scene: Scene) -> Delivery:
    return await notice(scene, ReceiptEvent.DELIVERED, by="MOF", issuer="mof", digest=digest_of(scene))


@case("a letter among the receipts", R.WRONG_TOKEN_TYPE)
async def _(scene: Scene) -> Delivery:
    return scene.bed.carry("SAB", scene.letter.body, "MPW.notice")


@case("a receipt with a foreign routing key", R.ROUTING_KEY_FOREIGN)
async def _(scene: Scene) -> Delivery:
    genuine = await notice(scene, ReceiptEvent.DELIVERED, by="MOF", digest=digest_of(scene))
    return replace(genuine, routing_key="MPW.notice.more")


@case("a receipt with an expiration", R.CARRIES_EXPIRATION)
async def _(scene: Scene) -> Delivery:
    genuine = await notice(scene, ReceiptEvent.DELIVERED, by="MOF", digest=digest_of(scene))
    return replace(genuine, expiration="1")


# -- orders --------------------------------------------------------------------------------------------------


@case("an order of a later release", R.ORDER_NOT_SUPPORTED)
async def _(scene: Scene) -> Delivery:
    return replace(
        scene.letter, queue=orders_queue("MOF"), exchange="proofs", routing_key="MOF.order", body=b'{"checkpoint":1}'
    )


def digest_of(scene: Scene) -> str:
    [(digest, _)] = scene.bed.parties[0].states()
    return digest


STAGES = {"inbox": "inbox", "notices": "notices", "orders": "orders"}


@pytest.mark.parametrize(("reason", "make"), [each[1:] for each in CASES], ids=[each[0] for each in CASES])
async def test_what_is_not_authentic_is_kept_reported_and_without_effect(
    bed: Bed, mpw: Party, mof: Party, reason: IncidentReason, make: Make
) -> None:
    await mpw.send("MOF")
    [letter] = await mpw.letters_out()
    delivery = await make(Scene(bed, letter))
    victim = mpw if delivery.queue == "notices.MPW" else mof
    before = Snapshot.of(victim)
    if delivery.queue == "orders.MOF":
        await victim.adapter.orders.receive([delivery])
    else:
        await victim.receive(delivery)
    assert Snapshot.of(victim) == before
    assert await victim.receipts_out() == []
    row = await assert_put_aside(
        victim, delivery, reason.value, authentic=False, stage=STAGES[delivery.queue.partition(".")[0]]
    )
    assert row.explanation.isprintable()
    assert set(mpw.states().values()) == {"sent"}
    # It has used up nothing: the genuine letter comes, and its receipt counts.
    await mof.receive(letter)
    assert len(mof.inbox()) == 1
    await mpw.receive(*[each for each in await mof.receipts_out() if each.queue == "notices.MPW"])
    assert set(mpw.states().values()) == {"delivered"}


def test_every_reason_of_an_incident_has_a_case() -> None:
    assert {reason for _, reason, _ in CASES} == set(IncidentReason) - OF_THE_AUTHORITY


async def test_the_same_bytes_again_raise_a_count_and_publish_nothing_new(bed: Bed, mof: Party) -> None:
    forged = bed.carry("SAB", b"forged", "MOF.routine")
    await mof.receive(forged, forged)
    assert len(await mof.dead_letters_out()) == 1
    bed.clock.offset += 60
    await mof.receive(*[forged] * 100)
    [row] = mof.quarantine()
    assert row.copies == 102
    assert row.last_at > row.received_at
    assert await mof.dead_letters_out() == []
    await mof.receive(replace(forged, exchange="from.MPW"))
    assert [row.publisher for row in mof.quarantine()] == ["SAB", "MPW"]


async def test_a_batch_delivers_what_is_good_in_it_whatever_surrounds_it(bed: Bed, mpw: Party, mof: Party) -> None:
    await mpw.send("MOF")
    await mpw.send("MOF")
    first, second = await mpw.letters_out()
    rubbish = [bed.carry("SAB", bytes([number]), "MOF.routine") for number in range(20)]
    await mof.receive(*rubbish[:10], first, *rubbish[10:], second)
    assert len(mof.inbox()) == 2
    assert len(mof.quarantine()) == 20
    assert len(mof.receipts()) == 2
    tally = mof.adapter.incoming.tally
    assert (tally.delivered, tally.incidents, tally.not_delivered, tally.duplicates) == (2, 20, 0, 0)
    assert mof.rows(tables.receipts_received) == []
