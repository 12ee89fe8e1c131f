"""What must be so after a message was given up: asserted in one way for all the many kinds of them."""

import hashlib
from dataclasses import dataclass
from typing import Any

from agency_adapter.quarantine import HEAD_BYTES
from agency_adapter.store import tables
from broker.publishing import Outgoing
from broker.session import Delivery
from schemas.statements import DeadLetterStatement, parse_dead_letter
from tests.behaviour.bed import Party
from trust.token import LIMITS, TokenType, open_token
from trust.verification import verify


@dataclass(frozen=True)
class Snapshot:
    """What no message that was given up may change."""

    inbox: list[Any]
    transmissions: list[Any]
    received: list[Any]
    issued: list[Any]

    @classmethod
    def of(cls, party: Party) -> "Snapshot":
        return cls(
            party.inbox(),
            party.rows(tables.transmissions),
            party.rows(tables.receipts_received),
            party.rows(tables.receipts_issued),
        )


def statement_of(party: Party, message: Outgoing) -> DeadLetterStatement:
    """The statement that a dead letter carries, read as strictly as the authority will."""
    assert message.statement is not None
    token = open_token(message.statement.encode("ascii"), TokenType.DEAD_LETTER)
    key = verify(token, party.adapter.directory.current, purpose="seal", now=party.bed.clock.now())
    statement = parse_dead_letter(token.claims())
    assert key.agency == statement.iss == statement.recipient == party.code
    return statement


async def assert_put_aside(party: Party, delivery: Delivery, reason: str, *, authentic: bool, stage: str) -> Any:
    """``delivery`` stands in the quarantine with its bytes, and leaves as a dead letter; returns the row."""
    [row] = party.quarantine()
    body = delivery.body if len(delivery.body) <= LIMITS[TokenType.LETTER].token else delivery.body[:HEAD_BYTES]
    assert (row.reason, row.stage, bool(row.authentic)) == (reason, stage, authentic), row.explanation
    assert (row.body, row.size) == (body, len(delivery.body))
    assert (row.queue, row.exchange, row.routing_key) == (delivery.queue, delivery.exchange, delivery.routing_key)
    [message] = await party.dead_letters_out()
    assert (message.body, message.routing_key) == (body, "dead-letter")
    statement = statement_of(party, message)
    assert (statement.reason, statement.stage, statement.attempts) == (reason, stage, 1)
    digests = {hashlib.sha256(delivery.body).hexdigest()}
    if delivery.body.count(b".") == 2:
        digests.add(hashlib.sha256(delivery.body.rpartition(b".")[0]).hexdigest())
    assert statement.digest in digests
    assert statement.digest == row.digest
    return row
