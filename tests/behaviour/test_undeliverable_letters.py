"""Every reason for which a recipient's adapter answers *not delivered*: a signed receipt, and nothing in the inbox."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from agency_adapter.store import tables
from broker.session import Delivery
from schemas.directory import KeyPurpose, RevocationKind
from schemas.identifiers import uuid7
from schemas.reasons import NonDeliveryReason
from schemas.receipts import ReceiptEvent, parse_receipt
from tests.behaviour.aftermath import Snapshot, assert_put_aside
from tests.behaviour.bed import Bed, Party, claims_of, instant
from trust import ijson
from trust.token import TokenType, open_token
from trust.verification import verify

R = NonDeliveryReason
OF_THE_AUTHORITY = {R.EXPIRED, R.RECIPIENT_UNKNOWN}
"""A recipient's adapter says neither: it cannot know the one and is not there for the other."""


@dataclass(frozen=True)
class Scene:
    """MPW's adapter, as a careless programmer made it, signs whatever it is given; ``genuine`` is a good letter."""

    bed: Bed
    mof: Party
    genuine: Delivery

    def claims(self, **changes: Any) -> dict[str, Any]:
        """A good letter's, under a new id, with ``changes``; those to ``content`` are merged into it."""
        claims = claims_of(self.genuine.body)
        content = claims["content"] | changes.pop("content", {})
        fresh = uuid7(self.bed.clock.unix_ms(), b"another id")
        return claims | {"id": fresh, "content": content} | changes

    async def signed(self, claims: dict[str, Any] | bytes | None = None, **options: Any) -> Delivery:
        token = await self.bed.sign("MPW", claims if claims is not None else self.claims(), **options)
        return self.bed.carry("MPW", token, "MOF.routine")


Make = Callable[[Scene], Awaitable[Delivery]]
CASES: list[tuple[str, NonDeliveryReason, Make]] = []


def case(name: str, reason: NonDeliveryReason) -> Callable[[Make], Make]:
    def note(make: Make) -> Make:
        CASES.append((name, reason, make))
        return make

    return note


@case("an attachment", R.ATTACHMENTS_NOT_SUPPORTED)
async def _(scene: Scene) -> Delivery:
    entry = {"name": "a.pdf", "media_type": "application/pdf", "size": 1, "sha256": "0" * 64, "key": "k"}
    return await scene.signed(scene.claims(content={"attachments": [entry]}))


@case("encrypted content", R.ENCRYPTED_NOT_SUPPORTED)
async def _(scene: Scene) -> Delivery:
    claims = scene.claims(encrypted={"ciphertext": "…"})
    del claims["content"]
    return await scene.signed(claims)


@case("a secret in clear", R.ENCRYPTED_NOT_SUPPORTED)
async def _(scene: Scene) -> Delivery:
    return await scene.signed(scene.claims(secrecy="SECRET"))


@case("an id that stands for another letter", R.ID_REUSED)
async def _(scene: Scene) -> Delivery:
    await scene.mof.receive(scene.genuine)
    await scene.mof.receipts_out()
    claims = claims_of(scene.genuine.body)
    return await scene.signed(claims | {"paper_original": True})


@case("signed by a clock that is six minutes ahead", R.ISSUED_IN_FUTURE)
async def _(scene: Scene) -> Delivery:
    return await scene.signed(now=int(scene.bed.clock.unix()) + 360)


@case("dated after its signature", R.ISSUED_IN_FUTURE)
async def _(scene: Scene) -> Delivery:
    tomorrow = scene.bed.clock.now() + timedelta(days=1)
    dates = {"issued_at": instant(tomorrow), "expires_at": instant(tomorrow + timedelta(days=30))}
    return await scene.signed(scene.claims(**dates))


@case("a key that expired 31 days ago", R.KEY_EXPIRED)
async def _(scene: Scene) -> Delivery:
    key = scene.bed.authority.add_key("MPW", KeyPurpose.SEAL, name="old")
    delivery = await scene.signed(key=key)
    scene.bed.authority.expire(key.kid, scene.bed.clock.now() + timedelta(minutes=1))
    scene.bed.clock.offset += timedelta(days=31).total_seconds()
    await scene.bed.publish_directory()
    return delivery


@case("a key revoked in good order", R.KEY_EXPIRED)
async def _(scene: Scene) -> Delivery:
    key = scene.bed.authority.add_key("MPW", KeyPurpose.SEAL, name="left")
    scene.bed.authority.revoke(key.kid, scene.bed.clock.now(), RevocationKind.ORDINARY)
    await scene.bed.publish_directory()
    return await scene.signed(key=key)


@case("a key of next week", R.KEY_NOT_YET_VALID)
async def _(scene: Scene) -> Delivery:
    key = scene.bed.authority.add_key("MPW", KeyPurpose.SEAL, name="next")
    scene.bed.authority.change_key(key.kid, not_before=(scene.bed.clock.now() + timedelta(days=7)).isoformat())
    await scene.bed.publish_directory()
    return await scene.signed(key=key)


@case("an urgent letter in the routine lane", R.LANE_MISMATCH)
async def _(scene: Scene) -> Delivery:
    return await scene.signed(scene.claims(urgency="VERY_URGENT"))


@case("arrived after its last moment", R.LATE)
async def _(scene: Scene) -> Delivery:
    delivery = await scene.signed(scene.claims(expires_at=instant(scene.bed.clock.now() + timedelta(hours=1))))
    scene.bed.clock.offset += 3601
    return delivery


@case("for somebody else", R.NOT_ADDRESSED)
async def _(scene: Scene) -> Delivery:
    return await scene.signed(scene.claims(recipients=[{"agency": "SAB", "role": "to"}]))


@case("in another agency's name", R.NOT_ALLOWED)
async def _(scene: Scene) -> Delivery:
    return await scene.signed(scene.claims(sender={"agency": "SAB"}))


@case("a circular of an agency that may issue none", R.NOT_ALLOWED)
async def _(scene: Scene) -> Delivery:
    fields = {"circular_no": 9, "year": 2026, "effective_from": "2026-04-01", "audience": "ALL"}
    return await scene.signed(scene.claims(type="circular/1", content={"fields": fields}))


@case("a type that the directory does not let it send", R.NOT_ALLOWED)
async def _(scene: Scene) -> Delivery:
    scene.bed.authority.change_agency("MPW", may_send=["reply/1"])
    await scene.bed.publish_directory()
    return await scene.signed()


@case("no JSON", R.PAYLOAD_MALFORMED)
async def _(scene: Scene) -> Delivery:
    return await scene.signed(b"{")


@case("a member that stands twice", R.PAYLOAD_MALFORMED)
async def _(scene: Scene) -> Delivery:
    return await scene.signed(ijson.dump(scene.claims())[:-1] + b',"type":"letter.general/1"}')


@case("text that is not in its normal form", R.PAYLOAD_MALFORMED)
async def _(scene: Scene) -> Delivery:
    return await scene.signed(scene.claims(content={"subject": "cafe\u0301 e"}))


@case("half of a surrogate pair", R.PAYLOAD_MALFORMED)
async def _(scene: Scene) -> Delivery:
    return await scene.signed(
        ijson.dump(scene.claims(content={"subject": "HALF subject"})).replace(b"HALF", rb"\ud800")
    )


@case("nested deeper than anybody reads", R.PAYLOAD_MALFORMED)
async def _(scene: Scene) -> Delivery:
    deep: dict[str, Any] = {}
    for _ in range(32):
        deep = {"x": deep}
    return await scene.signed(scene.claims(x_new=deep))


@case("without a subject", R.SCHEMA_INVALID)
async def _(scene: Scene) -> Delivery:
    return await scene.signed(scene.claims(content={"subject": ""}))


@case("with a date that no calendar has", R.SCHEMA_INVALID)
async def _(scene: Scene) -> Delivery:
    return await scene.signed(scene.claims(expires_at="2026-02-30T00:00:00+03:00"))


@case("with an id that no receipt should repeat", R.SCHEMA_INVALID)
async def _(scene: Scene) -> Delivery:
    return await scene.signed(scene.claims(id="\u202e\x00\x1b]0;" + "ي" * 50, thread_id="x" * 70))


@case("with fields that its type has not", R.SCHEMA_INVALID)
async def _(scene: Scene) -> Delivery:
    return await scene.signed(scene.claims(type="reply/1", content={"fields": {"in_reply_to": "that one"}}))


@case("of a type that nobody knows", R.TYPE_UNKNOWN)
async def _(scene: Scene) -> Delivery:
    return await scene.signed(scene.claims(type="letter.unheard/1"))


@case("of a later major version", R.TYPE_UNKNOWN)
async def _(scene: Scene) -> Delivery:
    return await scene.signed(scene.claims(type="letter.general/2"))


@pytest.mark.parametrize(("reason", "make"), [each[1:] for each in CASES], ids=[each[0] for each in CASES])
async def test_an_authentic_letter_that_cannot_be_delivered_is_answered_with_its_reason(
    bed: Bed, mpw: Party, mof: Party, reason: NonDeliveryReason, make: Make
) -> None:
    accepted = await mpw.send("MOF")
    [genuine] = await mpw.letters_out()
    delivery = await make(Scene(bed, mof, genuine))
    before = Snapshot.of(mof)
    await mof.receive(delivery, delivery)
    after = Snapshot.of(mof)
    assert (after.inbox, after.transmissions, after.received) == (before.inbox, before.transmissions, before.received)
    digest = open_token(delivery.body, TokenType.LETTER).digest
    [answer] = [row for row in after.issued if row not in before.issued]
    assert (answer.addressee, answer.event, answer.reason, answer.digest) == ("MPW", "not_delivered", reason, digest)

    [carried] = await mof.receipts_out()
    token = open_token(carried.body, TokenType.RECEIPT)
    assert verify(token, bed.parties[0].adapter.directory.current, purpose="seal", now=bed.clock.now()).agency == "MOF"
    receipt = parse_receipt(token.claims())
    assert (receipt.event, receipt.reason, receipt.sub_id.digest) == (ReceiptEvent.NOT_DELIVERED, reason, digest)
    row = await assert_put_aside(mof, delivery, reason.value, authentic=True, stage="inbox")
    assert row.publisher == row.claimed_sender == "MPW"
    assert row.explanation.isprintable()

    # The sender's adapter never signed such a letter: the receipt touches none of its own.
    await mpw.receive(carried)
    assert mpw.states() == {(accepted.digest, "MOF"): "sent"}
    assert [entry.reason for entry in mpw.quarantine()] == ["receipt_unmatched"]


def test_every_reason_of_a_recipient_has_a_case() -> None:
    assert {reason for _, reason, _ in CASES} == set(NonDeliveryReason) - OF_THE_AUTHORITY


async def test_a_key_that_expired_in_good_order_while_the_letter_waited_is_still_good(
    bed: Bed, mpw: Party, mof: Party
) -> None:
    await mpw.send("MOF", expires_at=instant(bed.clock.now() + timedelta(days=90)))
    [letter] = await mpw.letters_out()
    bed.authority.expire(bed.authority.file_key("MPW", KeyPurpose.SEAL).kid, bed.clock.now() + timedelta(days=1))
    bed.clock.offset += timedelta(days=29).total_seconds()
    await bed.publish_directory()
    await mof.receive(letter)
    assert len(mof.inbox()) == 1


async def test_the_sender_reads_why_its_own_letter_was_not_delivered(bed: Bed, mpw: Party, mof: Party) -> None:
    accepted = await mpw.send("MOF")
    [letter] = await mpw.letters_out()
    bed.authority.change_agency("MPW", may_send=["reply/1"])
    await bed.publish_directory()
    await mof.receive(letter)
    await mpw.receive(*await mof.receipts_out())
    shown = mpw.adapter.correspondence.letter(accepted.letter_id)
    [transmission] = shown.transmissions  # type: ignore[union-attr] # it is an outgoing letter
    assert (transmission.state, transmission.reason) == ("not_delivered", "not_allowed")
    assert transmission.ended_at is not None
    events = [entry.event for entry in mpw.adapter.correspondence.timeline(accepted.letter_id)]
    assert events == ["stored", "sent", "not_delivered"]
    assert mpw.rows(tables.receipts_received)[0].effect == "advanced"
