"""What a stranger chooses (routing keys, exchanges, header names, ids) and this agency signs, logs or shows."""

import secrets
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broker.session import Delivery
from schemas.identifiers import uuid7
from schemas.receipts import parse_receipt
from tests.behaviour.aftermath import statement_of
from tests.behaviour.bed import Bed, Party, claims_of
from trust.token import TokenType, open_token

GENTLE = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def short_string(text: str) -> str:
    """``text`` as AMQP can carry it: 255 bytes of UTF-8."""
    return text.encode("utf-8", "ignore")[:255].decode("utf-8", "ignore")


SHORT_STRINGS = st.text(st.characters(exclude_categories=["Cs"])).map(short_string) | st.sampled_from(
    ["e\u0301", "\ufffe\uffff\U0010ffff", "\x00\x1b[2J", "\u202edesrever", "ي" * 127, "\U0001f600" * 63, "\\u0301", '"']
)


@GENTLE
@given(routing_key=SHORT_STRINGS, exchange=SHORT_STRINGS, header=SHORT_STRINGS, body=st.binary(max_size=40))
async def test_every_statement_about_a_hostile_message_is_readable_for_the_authority(
    mof: Party, routing_key: str, exchange: str, header: str, body: bytes
) -> None:
    known = len(mof.quarantine())
    delivery = Delivery(
        queue="inbox.MOF.routine",
        exchange=exchange,
        routing_key=routing_key,
        body=body + secrets.token_bytes(8),
        headers={header: None} if header else {},
        content_type=None,
        expiration=None,
        redelivered=False,
    )
    await mof.receive(delivery)
    [message] = await mof.dead_letters_out()
    statement = statement_of(mof, message)
    assert statement.exchange.isascii()
    assert statement.routing_key.isascii()
    assert len(statement.routing_key) <= 255
    if routing_key.isascii() and routing_key.isprintable():
        assert statement.routing_key == routing_key
    row = mof.quarantine()[-1]
    assert len(mof.quarantine()) == known + 1
    assert (row.routing_key, row.exchange) == (routing_key, exchange)
    assert row.explanation.isprintable()
    assert mof.adapter.correspondence.quarantine(limit=1).items[0].routing_key == routing_key


_ODD = st.text(st.characters(exclude_categories=["Cs"]), max_size=80) | st.integers() | st.none() | st.just([])


@GENTLE
@given(letter_id=_ODD, thread_id=_ODD, sender=_ODD, keep=st.booleans())
async def test_every_receipt_for_an_unreadable_letter_is_readable_for_its_sender(
    bed: Bed, mpw: Party, mof: Party, letter_id: Any, thread_id: Any, sender: Any, keep: bool
) -> None:
    answered = len(mof.receipts())
    odd = {"id": letter_id, "thread_id": thread_id, "sender": sender, "unique": secrets.token_hex(8)}
    # Some with the id of a good letter, so that more than the id is odd.
    claims = odd | ({"id": uuid7(bed.clock.unix_ms(), secrets.token_bytes(10))} if keep else {})
    await mof.receive(bed.carry(mpw.code, await bed.sign("MPW", claims), "MOF.routine"))
    [carried] = await mof.receipts_out()
    receipt = parse_receipt(open_token(carried.body, TokenType.RECEIPT).claims())
    assert receipt.reason in {"schema_invalid", "payload_malformed"}
    assert receipt.sub_id.letter == claims_of(carried.body)["sub_id"].get("letter")
    assert len(mof.receipts()) == answered + 1
    [message] = await mof.dead_letters_out()
    statement_of(mof, message)
