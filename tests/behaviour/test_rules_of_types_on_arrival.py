"""What the recipient's adapter says of an authentic letter that its type or its dates forbid."""

from datetime import timedelta
from typing import Any

import pytest

from schemas.reasons import NonDeliveryReason
from schemas.receipts import ReceiptEvent, parse_receipt
from tests.behaviour.bed import Bed, Party, claims_of, instant

CIRCULAR = {"circular_no": 9, "year": 2026, "effective_from": "2026-04-01", "audience": "ALL"}


async def resigned(bed: Bed, sender: Party, **changes: Any) -> bytes:
    """A genuine letter of ``sender`` for MOF with ``changes``, signed again by a careless adapter of its own."""
    await sender.send("MOF")
    [letter] = await sender.letters_out()
    claims = claims_of(letter.body)
    content = claims["content"] | changes.pop("content", {})
    return await bed.sign(sender.code, claims | {"content": content} | changes)


async def answer(bed: Bed, recipient: Party, sender: str, token: bytes) -> tuple[ReceiptEvent, str | None]:
    await recipient.receive(bed.carry(sender, token, "MOF.routine"))
    [receipt] = recipient.receipts()
    read = parse_receipt(receipt.claims())
    return read.event, read.reason


@pytest.mark.parametrize(
    ("sender", "expected"),
    [
        ("MPW", (ReceiptEvent.NOT_DELIVERED, NonDeliveryReason.NOT_ALLOWED)),
        ("SAB", (ReceiptEvent.DELIVERED, None)),
    ],
)
async def test_a_circular_of_an_agency_that_may_issue_none_is_answered_not_allowed(
    bed: Bed, mof: Party, sender: str, expected: tuple[ReceiptEvent, str | None]
) -> None:
    token = await resigned(bed, bed.open(sender), type="circular/1", content={"fields": CIRCULAR})
    assert await answer(bed, mof, sender, token) == expected


@pytest.mark.parametrize(
    ("ahead", "expected"),
    [
        (timedelta(minutes=5), (ReceiptEvent.DELIVERED, None)),
        (timedelta(minutes=6), (ReceiptEvent.NOT_DELIVERED, NonDeliveryReason.ISSUED_IN_FUTURE)),
        (timedelta(days=365 * 500), (ReceiptEvent.NOT_DELIVERED, NonDeliveryReason.ISSUED_IN_FUTURE)),
    ],
)
async def test_a_letter_dated_after_its_signature_cannot_put_off_its_expiry(
    bed: Bed, mpw: Party, mof: Party, ahead: timedelta, expected: tuple[ReceiptEvent, str | None]
) -> None:
    issued_at = bed.clock.now() + ahead
    token = await resigned(bed, mpw, issued_at=instant(issued_at), expires_at=instant(issued_at + timedelta(days=180)))
    assert await answer(bed, mof, "MPW", token) == expected
