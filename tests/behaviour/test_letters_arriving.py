"""A letter arrives: once, twice, late, out of order, with members nobody knows."""

import random
from datetime import timedelta

import pytest

from agency_adapter.receipts import SHORTEST_REPEAT_MS
from agency_adapter.store import tables
from schemas.errors import ErrorCode, Refused
from schemas.reasons import NonDeliveryReason
from schemas.receipts import ReceiptEvent, parse_receipt
from tests.behaviour.bed import Bed, Party, claims_of, decoded, encoded, exchange, instant, letters_for
from trust import ijson
from trust.token import TokenType, open_token

N_P256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def malleated(token: bytes) -> bytes:
    """The same token with the other signature that verifies: (r, n - s)."""
    head, _, signature = token.rpartition(b".")
    raw = decoded(signature)
    r, s = raw[:32], int.from_bytes(raw[32:], "big")
    return head + b"." + encoded(r + (N_P256 - s).to_bytes(32, "big"))


async def test_a_letter_is_delivered_once_and_its_sender_holds_the_receipt(mpw: Party, mof: Party) -> None:
    accepted = await mpw.send("MOF")
    assert mpw.states() == {(accepted.digest, "MOF"): "accepted"}
    await exchange(mpw, mof)
    assert [row.letter_id for row in mof.inbox()] == [accepted.letter_id]
    assert mpw.states() == {(accepted.digest, "MOF"): "delivered"}
    [receipt] = mof.receipts()
    assert parse_receipt(receipt.claims()).event is ReceiptEvent.DELIVERED


async def test_a_duplicate_letter_gets_the_stored_receipt_again(bed: Bed, mpw: Party, mof: Party) -> None:
    await mpw.send("MOF")
    [letter] = await mpw.letters_out()
    await mof.receive(letter)
    [first] = await mof.receipts_out()
    bed.clock.offset += SHORTEST_REPEAT_MS / 1000 + 1
    await mof.receive(letter)
    [again] = await mof.receipts_out()
    assert again.body == first.body
    assert [row.copies for row in mof.inbox()] == [2]


async def test_a_duplicate_is_answered_at_most_once_a_minute(bed: Bed, mpw: Party, mof: Party) -> None:
    await mpw.send("MOF")
    [letter] = await mpw.letters_out()
    await mof.receive(letter)
    await mof.receipts_out()
    for _ in range(10):
        bed.clock.offset += 5
        await mof.receive(letter)
    assert await mof.receipts_out() == []
    bed.clock.offset += 15
    await mof.receive(letter, letter)
    await mof.receive(letter)
    assert len(await mof.receipts_out()) == 1
    assert len(mof.receipts()) == 1


async def test_the_other_signature_that_verifies_makes_a_duplicate_not_a_second_letter(
    mpw: Party, mof: Party, bed: Bed
) -> None:
    await mpw.send("MOF")
    [letter] = await mpw.letters_out()
    twin = bed.carry("MPW", malleated(letter.body), letter.routing_key)
    assert twin.body != letter.body
    await mof.receive(letter, twin)
    await mof.receive(twin)
    assert [row.copies for row in mof.inbox()] == [3]
    assert mof.adapter.incoming.tally.duplicates == 2
    assert len(mof.receipts()) == 1
    assert mof.quarantine() == []


async def test_batches_in_any_order_deliver_every_letter_once(mpw: Party, mof: Party) -> None:
    accepted = [await mpw.send("MOF") for _ in range(30)]
    letters = await mpw.letters_out() * 3
    random.Random(7).shuffle(letters)  # noqa: S311 - the same order each time
    for at in range(0, len(letters), 11):
        await mof.receive(*letters[at : at + 11])
    assert sorted(row.letter_id for row in mof.inbox()) == sorted(letter.letter_id for letter in accepted)
    assert sum(row.copies for row in mof.inbox()) == 90
    await mpw.receive(*await mof.receipts_out())
    assert set(mpw.states().values()) == {"delivered"}


async def test_both_lanes_carry_letters(mpw: Party, mof: Party) -> None:
    await mpw.send("MOF", urgency="IMMEDIATE")
    await mpw.send("MOF")
    letters = await mpw.letters_out()
    assert sorted(letter.queue for letter in letters) == ["inbox.MOF.routine", "inbox.MOF.urgent"]
    await mof.receive(*letters)
    assert sorted(row.lane for row in mof.inbox()) == ["routine", "urgent"]


async def test_each_recipient_answers_for_its_own_copy(mpw: Party, mof: Party, sab: Party) -> None:
    accepted = await mpw.send("MOF", "SAB")
    letters = await mpw.letters_out()
    await mof.receive(*[letter for letter in letters if letter.routing_key.startswith("MOF")])
    await mpw.receive(*await mof.receipts_out())
    assert mpw.states()[accepted.digest, "MOF"] == "delivered"
    assert mpw.states()[accepted.digest, "SAB"] == "sent"
    await sab.receive(*[letter for letter in letters if letter.routing_key.startswith("SAB")])
    await mpw.receive(*await sab.receipts_out())
    assert set(mpw.states().values()) == {"delivered"}
    assert [row.role for row in sab.inbox()] == ["cc"]


async def test_unknown_members_at_every_level_are_delivered_with_their_bytes_unchanged(
    bed: Bed, mpw: Party, mof: Party
) -> None:
    await mpw.send("MOF")
    [letter] = await mpw.letters_out()
    claims = claims_of(letter.body)
    claims |= {"x_new": {"deep": [1, {"a": None}]}}
    for place in (claims["sender"], claims["recipients"][0], claims["content"], claims["content"]["fields"]):
        place["x_unknown"] = ["غير معروف", {"nested": True}]
    claims["reply"] = {"required": False, "x_unknown": 1}
    # Signed with the members in an order and a spacing that no serialiser of ours produces.
    payload = b" " + ijson.dump(dict(reversed(claims.items()))) + b"\n"
    token = await bed.sign("MPW", payload)
    await mof.receive(bed.carry("MPW", token, "MOF.routine"))
    [row] = mof.inbox()
    assert row.letter_jws == token
    assert mof.adapter.correspondence.letter_jws(row.letter_id) == token


async def test_a_reused_id_is_refused_for_the_new_content_alone(bed: Bed, mpw: Party, mof: Party) -> None:
    accepted = await mpw.send("MOF")
    [letter] = await mpw.letters_out()
    await mof.receive(letter)
    claims = claims_of(letter.body)
    claims["content"]["subject"] = "موضوع آخر بالرقم نفسه"
    other = await bed.sign("MPW", claims)
    await mof.receive(bed.carry("MPW", other, letter.routing_key))
    [kept] = mof.inbox()
    assert kept.digest == accepted.digest
    first, second = (parse_receipt(receipt.claims()) for receipt in mof.receipts())
    assert (first.event, first.sub_id.digest) == (ReceiptEvent.DELIVERED, accepted.digest)
    assert (second.event, second.reason) == (ReceiptEvent.NOT_DELIVERED, NonDeliveryReason.ID_REUSED)
    assert second.sub_id.digest == open_token(other, TokenType.LETTER).digest
    # The sender, who never signed such a letter through its adapter, keeps its first letter's state.
    await mpw.receive(*await mof.receipts_out())
    assert mpw.states() == {(accepted.digest, "MOF"): "delivered"}
    assert [row.reason for row in mpw.quarantine()] == ["receipt_unmatched"]


async def test_a_reused_id_within_one_batch_is_found_too(bed: Bed, mpw: Party, mof: Party) -> None:
    await mpw.send("MOF")
    [letter] = await mpw.letters_out()
    claims = claims_of(letter.body) | {"urgency": "ROUTINE", "paper_original": True}
    other = bed.carry("MPW", await bed.sign("MPW", claims), letter.routing_key)
    await mof.receive(letter, other, letter, other)
    assert len(mof.inbox()) == 1
    assert [parse_receipt(receipt.claims()).event for receipt in mof.receipts()] == [
        ReceiptEvent.DELIVERED,
        ReceiptEvent.NOT_DELIVERED,
    ]


async def test_two_agencies_may_use_the_same_id(bed: Bed, mpw: Party, mof: Party) -> None:
    await mpw.send("MOF")
    [letter] = await mpw.letters_out()
    claims = claims_of(letter.body)
    claims["sender"] = {"agency": "SAB"}
    token = await bed.sign("SAB", claims)
    await mof.receive(letter, bed.carry("SAB", token, letter.routing_key))
    assert sorted(row.sender for row in mof.inbox()) == ["MPW", "SAB"]


async def test_a_late_letter_is_answered_with_late(bed: Bed, mpw: Party, mof: Party) -> None:
    accepted = await mpw.send("MOF", expires_at=instant(bed.clock.now() + timedelta(hours=1)))
    [letter] = await mpw.letters_out()
    bed.clock.offset += 3601
    await mof.receive(letter)
    assert mof.inbox() == []
    await mpw.receive(*await mof.receipts_out())
    [row] = mpw.rows(tables.transmissions)
    assert (row.digest, row.state, row.reason) == (accepted.digest, "not_delivered", "late")


async def test_a_late_copy_of_a_delivered_letter_gets_the_stored_delivered(bed: Bed, mpw: Party, mof: Party) -> None:
    await mpw.send("MOF", expires_at=instant(bed.clock.now() + timedelta(hours=1)))
    [letter] = await mpw.letters_out()
    await mof.receive(letter)
    [first] = await mof.receipts_out()
    bed.clock.offset += 7200
    await mof.receive(letter)
    [again] = await mof.receipts_out()
    assert again.body == first.body
    assert parse_receipt(claims_of(again.body)).event is ReceiptEvent.DELIVERED
    assert mof.quarantine() == []


async def test_with_an_expired_directory_mail_stays_at_the_broker(bed: Bed, mpw: Party, mof: Party) -> None:
    await mpw.send("MOF")
    [letter] = await mpw.letters_out()
    await mof.receive(letter)
    [receipt] = await mof.receipts_out()
    bed.clock.offset += timedelta(days=30 + 14 + 1).total_seconds()
    for party, delivery in ((mof, letter), (mpw, receipt)):
        with pytest.raises(Refused) as refusal:
            await party.receive(delivery)
        assert refusal.value.code is ErrorCode.DIRECTORY_EXPIRED
    assert set(mpw.states().values()) == {"sent"}
    assert mof.quarantine() == mpw.quarantine() == []
    # A newer directory, and everything goes on.
    await bed.publish_directory()
    await mpw.receive(receipt)
    assert set(mpw.states().values()) == {"delivered"}


async def test_a_directory_in_its_grace_still_serves(bed: Bed, mpw: Party, mof: Party) -> None:
    await mpw.send("MOF", expires_at=instant(bed.clock.now() + timedelta(days=90)))
    bed.clock.offset += timedelta(days=30 + 13).total_seconds()
    assert mof.adapter.directory.current.state(bed.clock.now()) == "grace"
    await exchange(mpw, mof)
    assert set(mpw.states().values()) == {"delivered"}


async def test_letters_sent_before_a_suspension_are_delivered(bed: Bed, mpw: Party, mof: Party) -> None:
    await mpw.send("MOF")
    letters = await letters_for("MOF", mpw)
    bed.authority.change_agency("MPW", status="suspended")
    await bed.publish_directory()
    await mof.receive(*letters)
    assert len(mof.inbox()) == 1
