"""A letter's timeline: what is known to have happened to it, from the store and the signed receipts."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from agency_adapter.store.tables import inbox, letters, receipts_issued, receipts_received, transmissions
from schemas.delivery import Effect
from schemas.errors import Refused
from schemas.receipts import parse_receipt
from trust.token import TokenType, open_token


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One step of a letter's life.

    Attributes:
        at: Unix milliseconds.
        event: a receipt's event, or ``stored``, ``sent``, ``issued``, ``arrived``.
        party: who says so.
        recipient: whose copy it is about, if one's.
        reason: coded.
        number: the outgoing number where the letter begins, the incoming one where it was registered.
        by: the clerk, as the receipt names post or user.
        note: the clerk's word.
        conflict: the receipt says something else than the outcome that stands.
    """

    at: int
    event: str
    party: str
    recipient: str | None = None
    reason: str | None = None
    number: str | None = None
    by: str | None = None
    note: str | None = None
    conflict: bool = False


def outgoing_steps(connection: Connection, agency: str, seq: int) -> list[TimelineEntry]:
    """Everything about the letter in row ``seq`` of ``letters``, which ``agency`` sent; oldest first."""
    letter = connection.execute(
        select(letters.c.seq, letters.c.accepted_at, letters.c.digest, letters.c.outgoing_no).where(
            letters.c.seq == seq
        )
    ).one()
    t, r = transmissions.c, receipts_received.c
    entries = [TimelineEntry(letter.accepted_at, "stored", agency, number=letter.outgoing_no)]
    entries += [
        TimelineEntry(row.sent_at, "sent", agency, row.recipient)
        for row in connection.execute(
            select(t.recipient, t.sent_at).where(t.letter_seq == letter.seq, t.sent_at.is_not(None))
        )
    ]
    entries += [
        TimelineEntry(
            row.received_at,
            row.event,
            row.signer,
            row.recipient,
            row.reason,
            **_details(row.receipt_jws),
            conflict=row.effect == Effect.CONFLICT.value,
        )
        for row in connection.execute(
            select(r.received_at, r.event, r.signer, r.recipient, r.reason, r.effect, r.receipt_jws).where(
                r.digest == letter.digest
            )
        )
    ]
    return _in_order(entries)


def incoming_steps(connection: Connection, agency: str, seq: int) -> list[TimelineEntry]:
    """Everything about the letter in row ``seq`` of ``inbox``, which arrived at ``agency``; oldest first."""
    i, r = inbox.c, receipts_issued.c
    arrival = connection.execute(
        select(i.sender, i.issued_at, i.received_at, i.digest, i.outgoing_no).where(i.seq == seq)
    ).one()
    entries = [
        TimelineEntry(arrival.issued_at, "issued", arrival.sender, number=arrival.outgoing_no),
        TimelineEntry(arrival.received_at, "arrived", agency, agency),
    ]
    entries += [
        TimelineEntry(row.occurred_at, row.event, agency, agency, row.reason, **_details(row.receipt_jws))
        for row in connection.execute(
            select(r.occurred_at, r.event, r.reason, r.receipt_jws).where(r.digest == arrival.digest)
        )
    ]
    return _in_order(entries)


def _in_order(entries: list[TimelineEntry]) -> list[TimelineEntry]:
    return sorted(entries, key=lambda entry: entry.at)


def _details(receipt_jws: bytes) -> dict[str, Any]:
    """What a stored receipt says beside its event. It was verified before it was stored."""
    try:
        details = parse_receipt(open_token(bytes(receipt_jws), TokenType.RECEIPT).claims()).details
    except Refused:
        # A store that was tampered with still has a timeline; 'demo books' and 'verify' find the tampering.
        return {}
    said: dict[str, Any] = details.model_extra or {}
    by = said.get("registered_by") or said.get("returned_by")
    found = {"number": details.incoming_no, "by": by, "note": said.get("note")}
    return {name: value for name, value in found.items() if isinstance(value, str)}
