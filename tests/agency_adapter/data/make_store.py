"""Make a store with letters of every state, to be kept: ``python -m tests.agency_adapter.data.make_store FOLDER``."""

import asyncio
import shutil
import sqlite3
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from agency_adapter.registry import Registration, Return
from agency_adapter.store.opening import HEAD
from schemas.identifiers import AUTHORITY, uuid7
from schemas.reasons import ReturnReason
from schemas.receipts import ReceiptEvent, build_receipt
from tests.behaviour.bed import Bed, Party, exchange, letters_for
from trust.token import TokenType

AT = datetime(2026, 3, 1, 6, tzinfo=UTC)
OF_THE_AUTHORITY = {
    "held": (ReceiptEvent.HELD, "recipient_not_active"),
    "refused": (ReceiptEvent.REJECTED, "recipient_unknown"),
    "not_delivered": (ReceiptEvent.NOT_DELIVERED, "expired"),
}


async def ended(bed: Bed, mpw: Party, event: ReceiptEvent, reason: str) -> None:
    """A letter to SAB that the authority ended, or held."""
    accepted = await mpw.send("SAB", urgency="URGENT")
    await mpw.letters_out()
    claims = build_receipt(
        event=event,
        issuer=AUTHORITY,
        audience="MPW",
        jti=uuid7(bed.clock.unix_ms(), b"0123456789"),
        issued_at=int(bed.clock.unix()),
        occurred_at=int(bed.clock.unix()),
        thread_id=None,
        letter_id=accepted.letter_id,
        recipient="SAB",
        digest=accepted.digest,
        details={"reason": reason},
    )
    token = await bed.sign(AUTHORITY, claims, TokenType.RECEIPT)
    await mpw.receive(bed.carry(AUTHORITY, token, "MPW.notice"))


async def fill(bed: Bed) -> None:
    mpw, mof = bed.open("MPW"), bed.open("MOF")
    delivered = await mpw.send("MOF", key="file-1")
    await exchange(mpw, mof)
    await mof.adapter.correspondence.register(Registration(delivered.letter_id, "السجل العام"))
    await mpw.receive(*await mof.receipts_out())
    for event, reason in OF_THE_AUTHORITY.values():
        await ended(bed, mpw, event, reason)
    await mpw.send("MOF", outgoing_no="م.و/7/2026")
    await mpw.letters_out()
    arrivals = [await mof.send("MPW") for _ in range(4)]
    await mpw.receive(*await letters_for("MPW", mof))
    here = mpw.adapter.correspondence
    await here.register(Registration(arrivals[1].letter_id, "السجل العام", unit="الشؤون القانونية"))
    await here.return_(Return(arrivals[2].letter_id, "السجل العام", ReturnReason.NOT_COMPETENT, "للبلدية"))
    await mof.receive(*await mpw.receipts_out())
    await mpw.receive(bed.carry("SAB", b"no letter", "MPW.routine"))
    await mpw.send("MOF", "SAB", key="file-2")
    await bed.close()
    store = bed.folder / "agencies" / "MPW" / "store.db"
    with sqlite3.connect(store) as connection:
        # No adapter of this release ever writes it; a later one will, and reads it then.
        connection.execute(
            "UPDATE inbox SET state = 'awaiting_attachments' WHERE letter_id = ?", (arrivals[3].letter_id,)
        )
    connection.execute("VACUUM")
    connection.close()


async def make(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as work:
        bed = Bed(Path(work), at=AT)
        await bed.publish_directory()
        await fill(bed)
        for kind in ("db", "mark"):
            shutil.copy(Path(work) / "agencies" / "MPW" / f"store.{kind}", folder / f"store-{HEAD}.{kind}")


if __name__ == "__main__":
    asyncio.run(make(Path(sys.argv[1])))
