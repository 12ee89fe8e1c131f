"""What one agency may send costs the adapter that gets it no more than the sender: no stall, no flood of rows."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from agency_adapter.notices import LARGEST_PART, MOST_FAULTS, MOST_TOKENS
from broker.session import Delivery
from schemas.receipts import ReceiptEvent, build_receipt
from tests.behaviour.bed import Bed, Party, claims_of
from trust.token import TokenType


@pytest.fixture
async def bed(tmp_path: Path) -> AsyncIterator[Bed]:
    made = Bed(tmp_path)
    await made.publish_directory()
    yield made
    await made.close()


@pytest.fixture
async def mof(bed: Bed) -> Party:
    return bed.open("MOF")


@contextlib.contextmanager
def turns_of_the_loop() -> Iterator[list[int]]:
    """Counts, in the list's one entry, how often others than the running task have had their turn."""
    count = [0]

    async def tick() -> None:
        while True:
            await asyncio.sleep(0)
            count[0] += 1

    ticking = asyncio.ensure_future(tick())
    try:
        yield count
    finally:
        ticking.cancel()


async def test_a_batch_of_the_largest_letters_leaves_the_loop_its_turns(
    bed: Bed, mof: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    sab = bed.open("SAB")
    await sab.send("MOF", content={"subject": "تقرير مطول", "body": "ا" * 100_000})
    [letter] = await sab.letters_out()
    assert len(letter.body) > 256 * 1024
    seen: list[int] = []
    judge = mof.adapter.incoming._judge
    with turns_of_the_loop() as turns:
        monkeypatch.setattr(mof.adapter.incoming, "_judge", lambda *given: (seen.append(turns[0]), judge(*given))[1])
        await asyncio.sleep(0)
        await mof.receive(*[letter] * 5)
    assert len(set(seen)) == 5
    assert [row.copies for row in mof.inbox()] == [5]


async def test_a_message_of_a_thousand_faulty_receipts_becomes_no_thousand_dead_letters(bed: Bed, mof: Party) -> None:
    body = b"\n".join(b"%d" % number for number in range(1_000))
    await mof.receive(bed.carry("SAB", body, "MOF.notice"))
    rows = mof.quarantine()
    assert len(rows) == len(await mof.dead_letters_out()) == MOST_FAULTS + 1
    assert b"\n".join(row.body for row in rows) == body


async def test_faulty_receipts_do_not_hide_the_genuine_one_beside_them(bed: Bed, mof: Party) -> None:
    sab = bed.open("SAB")
    await mof.send("SAB")
    await sab.receive(*await mof.letters_out())
    [receipt] = await sab.receipts_out()
    faulty = b"\n".join(b"%d" % number for number in range(MOST_FAULTS - 1))
    await mof.receive(bed.carry("SAB", faulty + b"\n" + receipt.body + b"\nx", "MOF.notice"))
    assert set(mof.states().values()) == {"delivered"}


async def test_a_batch_of_more_receipts_than_one_commit_takes_is_taken_in_several(bed: Bed, mof: Party) -> None:
    """A hundred thousand in a batch would hold up the loop for longer than the broker waits for a heartbeat."""
    sab = bed.open("SAB")
    accepted = await mof.send("SAB")
    await sab.receive(*await mof.letters_out())
    [receipt] = await sab.receipts_out()
    unmatched = await bed.sign("SAB", _receipt(claims_of(receipt.body)["jti"], "0" * 64), TokenType.RECEIPT)
    full = b"\n".join([unmatched] * MOST_TOKENS)
    before = mof.adapter.writer.commits
    deliveries: list[Delivery] = [bed.carry("SAB", body, "MOF.notice") for body in (full, full, receipt.body)]
    await mof.receive(*deliveries)
    assert mof.adapter.writer.commits - before == 2 * MOST_TOKENS // LARGEST_PART + 1
    assert mof.states() == {(accepted.digest, "SAB"): "delivered"}
    [row] = mof.quarantine()
    assert (row.reason, row.copies) == ("receipt_unmatched", 2 * MOST_TOKENS)


def _receipt(jti: str, digest: str) -> dict[str, object]:
    return build_receipt(
        event=ReceiptEvent.DELIVERED,
        issuer="SAB",
        audience="MOF",
        jti=jti,
        issued_at=1,
        occurred_at=1,
        thread_id=None,
        letter_id=None,
        recipient="SAB",
        digest=digest,
        details={},
    )
