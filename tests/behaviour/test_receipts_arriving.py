"""Receipts arrive: twice, late, out of order, at odds, many in a message, by either of the authority's keys."""

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest

from agency_adapter.notices import MOST_FAULTS, MOST_TOKENS
from agency_adapter.receipts import ReceiptOutbox
from agency_adapter.registry import Registration, Return
from agency_adapter.store import tables
from broker.configuration import LARGEST_MESSAGE
from broker.session import Delivery
from schemas.directory import KeyPurpose
from schemas.identifiers import AUTHORITY, uuid7
from schemas.reasons import ReturnReason
from schemas.receipts import ReceiptEvent, build_receipt
from schemas.text import LONGEST_LINE
from tests.behaviour.aftermath import statement_of
from tests.behaviour.bed import Bed, Party, claims_of, exchange, letters_for
from trust.token import LIMITS, TokenType

E = ReceiptEvent
DETAILS = {
    E.NOT_DELIVERED: {"reason": "late"},
    E.REJECTED: {"reason": "recipient_unknown"},
    E.HELD: {"reason": "recipient_not_active"},
    E.HAND_OVER_FAILED: {"reason": "refused"},
    E.RETURNED: {"reason": "duplicate"},
    E.REGISTERED: {"incoming_no": "MOF/IN/2026/000007"},
}


class Postman:
    """Makes receipts about MPW's one letter to MOF, and brings them."""

    def __init__(self, bed: Bed, mpw: Party, digest: str) -> None:
        self.bed = bed
        self.mpw = mpw
        self.digest = digest
        self._made = 0

    async def receipt(self, event: ReceiptEvent, by: str = "MOF", *, key: Any = None, **details: Any) -> bytes:
        self._made += 1
        now = int(self.bed.clock.unix())
        claims = build_receipt(
            event=event,
            issuer=by,
            audience="MPW",
            jti=uuid7(self.bed.clock.unix_ms(), self._made.to_bytes(10, "big")),
            issued_at=now,
            occurred_at=now,
            thread_id=None,
            letter_id=None,
            recipient="MOF",
            digest=self.digest,
            details=DETAILS.get(event, {}) | details,
        )
        return await self.bed.sign(by, claims, TokenType.RECEIPT, **({"key": key} if key else {}))

    async def bring(self, *tokens: bytes, publisher: str = "MOF") -> None:
        await self.mpw.receive(self.message(*tokens, publisher=publisher))

    def message(self, *tokens: bytes, publisher: str = "MOF") -> Delivery:
        return self.bed.carry(publisher, b"\n".join(tokens), "MPW.notice")

    @property
    def transmission(self) -> Any:
        [row] = self.mpw.rows(tables.transmissions)
        return row

    @property
    def effects(self) -> list[str]:
        return [row.effect for row in self.mpw.rows(tables.receipts_received)]


@pytest.fixture
async def postman(bed: Bed, mpw: Party) -> Postman:
    accepted = await mpw.send("MOF")
    await mpw.letters_out()
    return Postman(bed, mpw, accepted.digest)


async def test_a_receipt_that_comes_twice_is_stored_once_and_counted(postman: Postman) -> None:
    token = await postman.receipt(E.DELIVERED)
    await postman.bring(token, token)
    await postman.bring(token)
    [row] = postman.mpw.rows(tables.receipts_received)
    assert (row.copies, row.receipt_jws, row.effect) == (3, token, "advanced")
    assert (postman.transmission.state, postman.transmission.conflicts) == ("delivered", 0)
    tally = postman.mpw.adapter.notices.tally
    assert (tally.stored, tally.repeated, tally.conflicts, tally.rejected) == (1, 2, 0, 0)


async def test_who_published_a_receipt_says_nothing(postman: Postman) -> None:
    await postman.bring(await postman.receipt(E.DELIVERED), publisher="SAB")
    assert postman.transmission.state == "delivered"


async def test_receipts_in_any_order_come_to_the_same_end(postman: Postman) -> None:
    for event in (E.RETURNED, E.REGISTERED, E.OPENED):
        await postman.bring(await postman.receipt(event))
    assert postman.transmission.state == "sent"
    await postman.bring(await postman.receipt(E.DELIVERED))
    await postman.bring(await postman.receipt(E.HELD, AUTHORITY), await postman.receipt(E.ACCEPTED, AUTHORITY))
    row = postman.transmission
    assert (row.state, row.registered_no, row.conflicts) == ("delivered", "MOF/IN/2026/000007", 0)
    assert postman.effects == ["added", "added", "added", "advanced", "added", "added"]


async def test_registered_and_returned_long_after_are_added_to_what_is_delivered(postman: Postman) -> None:
    await postman.bring(await postman.receipt(E.DELIVERED))
    ended_at = postman.transmission.ended_at
    postman.bed.clock.offset += 20 * 24 * 3600
    await postman.bring(await postman.receipt(E.REGISTERED), await postman.receipt(E.RETURNED))
    row = postman.transmission
    assert (row.state, row.registered_no, row.ended_at) == ("delivered", "MOF/IN/2026/000007", ended_at)


@pytest.mark.parametrize(
    ("event", "signer", "state"),
    [
        (E.HELD, AUTHORITY, "held"),
        (E.REJECTED, AUTHORITY, "refused"),
        (E.NOT_DELIVERED, AUTHORITY, "not_delivered"),
        (E.ACCEPTED, AUTHORITY, "sent"),
        (E.NOT_DELIVERED, "MOF", "not_delivered"),
    ],
)
async def test_each_signer_speaks_in_its_role(postman: Postman, event: ReceiptEvent, signer: str, state: str) -> None:
    await postman.bring(await postman.receipt(event, signer), publisher=signer)
    assert postman.transmission.state == state
    assert postman.mpw.quarantine() == []


async def test_two_outcomes_at_odds_are_a_conflict_that_is_kept_counted_and_shown(postman: Postman) -> None:
    await postman.bring(await postman.receipt(E.DELIVERED))
    await postman.bring(await postman.receipt(E.NOT_DELIVERED))
    await postman.bring(await postman.receipt(E.REJECTED, AUTHORITY))
    row = postman.transmission
    assert (row.state, row.reason, row.conflicts) == ("delivered", None, 2)
    assert postman.effects == ["advanced", "conflict", "conflict"]
    assert postman.mpw.adapter.notices.tally.conflicts == 2
    correspondence = postman.mpw.adapter.correspondence
    [letter] = correspondence.outbox().items
    assert letter.transmissions[0].conflicts == 2
    timeline = correspondence.timeline(letter.letter_id)
    assert [(entry.event, entry.conflict) for entry in timeline][-3:] == [
        ("delivered", False),
        ("not_delivered", True),
        ("rejected", True),
    ]


async def test_delivered_overrides_an_expiry_and_nothing_else(postman: Postman) -> None:
    await postman.bring(await postman.receipt(E.NOT_DELIVERED, AUTHORITY, reason="expired"))
    assert (postman.transmission.state, postman.transmission.reason) == ("not_delivered", "expired")
    await postman.bring(await postman.receipt(E.DELIVERED))
    assert (postman.transmission.state, postman.transmission.reason) == ("delivered", None)
    await postman.bring(await postman.receipt(E.NOT_DELIVERED, AUTHORITY, reason="expired"))
    assert (postman.transmission.state, postman.transmission.conflicts) == ("delivered", 1)


async def test_delivered_does_not_override_another_reason(postman: Postman) -> None:
    await postman.bring(await postman.receipt(E.NOT_DELIVERED, reason="late"))
    await postman.bring(await postman.receipt(E.DELIVERED))
    assert (postman.transmission.state, postman.transmission.reason) == ("not_delivered", "late")


async def test_of_several_tokens_the_bad_one_is_put_aside_and_the_others_count(postman: Postman) -> None:
    registered, delivered = await postman.receipt(E.REGISTERED), await postman.receipt(E.DELIVERED)
    bad = registered[:-8] + b"AAAAAAAA"
    await postman.bring(registered, bad, delivered)
    assert (postman.transmission.state, postman.transmission.registered_no) == ("delivered", "MOF/IN/2026/000007")
    [row] = postman.mpw.quarantine()
    assert (row.reason, row.body) == ("signature_invalid", bad)
    [message] = await postman.mpw.dead_letters_out()
    assert (message.body, statement_of(postman.mpw, message).stage) == (bad, "notices")


async def test_more_tokens_than_a_message_may_hold_are_kept_as_one_piece(postman: Postman) -> None:
    token = await postman.receipt(E.DELIVERED)
    beyond = [await postman.receipt(E.OPENED), await postman.receipt(E.OPENED)]
    await postman.bring(*[token] * MOST_TOKENS)
    assert postman.mpw.quarantine() == []
    await postman.bring(*[token] * MOST_TOKENS, beyond[0])
    await postman.bring(*[token] * MOST_TOKENS, *beyond)
    assert [row.body for row in postman.mpw.quarantine()] == [beyond[0], b"\n".join(beyond)]
    [row] = postman.mpw.rows(tables.receipts_received)
    assert row.copies == 3 * MOST_TOKENS


async def test_what_follows_many_faulty_tokens_is_kept_as_one_piece(postman: Postman) -> None:
    rubbish = [b"%d" % number for number in range(MOST_TOKENS)]
    await postman.bring(*rubbish, await postman.receipt(E.DELIVERED))
    rows = postman.mpw.quarantine()
    assert len(rows) == MOST_FAULTS + 1
    assert [row.body for row in rows[:-1]] == rubbish[:MOST_FAULTS]
    assert rows[-1].body.startswith(rubbish[MOST_FAULTS] + b"\n")
    assert postman.transmission.state == "sent", "the repetition of the letter will bring it again"


async def test_an_answer_to_other_content_under_the_same_id_touches_the_first_letter_not(
    bed: Bed, mpw: Party, mof: Party
) -> None:
    await mpw.send("MOF")
    [letter] = await mpw.letters_out()
    other = await bed.sign("MPW", claims_of(letter.body) | {"paper_original": True})
    await mof.receive(bed.carry("MPW", other, "MOF.routine"))
    await mof.receive(letter)
    first, second = mof.receipts()
    await mpw.receive(*[bed.carry("MOF", receipt.text, "MPW.notice") for receipt in (first, second)])
    [row] = mpw.rows(tables.transmissions)
    assert (row.state, row.reason) == ("not_delivered", "id_reused"), "its adapter signed two letters with one id"
    assert [each.reason for each in mpw.quarantine()] == ["receipt_unmatched"]


async def test_the_authority_answers_letters_to_itself_with_its_seal(bed: Bed, mpw: Party) -> None:
    authority = bed.open(AUTHORITY)
    accepted = await mpw.send(AUTHORITY, "MOF")
    await exchange(mpw, authority)
    await authority.adapter.correspondence.register(Registration(accepted.letter_id, "المراسلات"))
    await mpw.receive(*await authority.receipts_out())
    by_recipient = {row.recipient: row for row in mpw.rows(tables.transmissions)}
    assert by_recipient[AUTHORITY].state == "delivered"
    assert by_recipient[AUTHORITY].registered_no.startswith("TRSL/IN/")
    assert by_recipient["MOF"].state == "sent"


async def test_a_receipts_key_says_nothing_of_an_authoritys_own_copy(bed: Bed, mpw: Party) -> None:
    accepted = await mpw.send(AUTHORITY)
    await mpw.letters_out()
    postman = Postman(bed, mpw, accepted.digest)
    claims = claims_of(await postman.receipt(E.DELIVERED)) | {"iss": AUTHORITY}
    claims["sub_id"]["recipient"] = AUTHORITY
    token = await bed.sign(AUTHORITY, claims, TokenType.RECEIPT)  # with its receipts key
    await postman.bring(token)
    assert [row.reason for row in mpw.quarantine()] == ["receipt_wrong_signer"]
    seal = bed.authority.file_key(AUTHORITY, KeyPurpose.SEAL)
    await postman.bring(await bed.sign(AUTHORITY, claims, TokenType.RECEIPT, key=seal))
    assert set(mpw.states().values()) == {"delivered"}


# -- how much travels in one message --------------------------------------------------------------------------

WIDEST = "\U0001f4dc"
"""Four bytes a character, and none of them folds."""


async def test_the_longest_receipts_fit_the_brokers_largest_message(mpw: Party, mof: Party) -> None:
    letters = await asyncio.gather(*(mpw.send("MOF") for _ in range(ReceiptOutbox.most_per_message)))
    await mof.receive(*await letters_for("MOF", mpw))
    await mof.receipts_out()
    name, note = WIDEST * LONGEST_LINE, WIDEST * 500
    correspondence = mof.adapter.correspondence
    for acts in (
        [
            correspondence.register(
                Registration(letter.letter_id, name, f"{number:03d}" + WIDEST * (LONGEST_LINE - 3), unit=name)
            )
            for number, letter in enumerate(letters)
        ],
        [
            correspondence.return_(Return(letter.letter_id, name, ReturnReason.DUPLICATE, note=note))
            for letter in letters
        ],
    ):
        await asyncio.gather(*acts)
    messages = await mof.receipts_out()
    assert sum(message.body.count(b"\n") + 1 for message in messages) == 2 * len(letters)
    assert max(len(message.body) for message in messages) < LARGEST_MESSAGE / 2, "well below"
    await mpw.receive(*messages)
    assert len(mpw.rows(tables.receipts_received)) == 2 * len(letters)
    assert mpw.quarantine() == []


@pytest.mark.parametrize("sizes", [[LIMITS[TokenType.RECEIPT].token] * 64, [1000] * 130, [LARGEST_MESSAGE, 10, 10]])
async def test_messages_of_receipts_are_cut_by_number_and_by_bytes(mof: Party, sizes: Sequence[int]) -> None:
    with mof.adapter.store.engine.begin() as connection:
        for number, size in enumerate(sizes, 1):
            connection.execute(
                tables.receipts_issued.insert().values(
                    seq=number, jti=str(number), addressee="MPW", digest="d", event="delivered", occurred_at=0,
                    receipt_jws=b"x" * size, lane="MPW.notice", relay_state=0, due_at=0,
                )
            )  # fmt: skip
        messages = ReceiptOutbox().load(connection, range(1, len(sizes) + 1))
    assert [key for message in messages for key in message.keys] == list(range(1, len(sizes) + 1))
    for message in messages:
        assert len(message.keys) <= ReceiptOutbox.most_per_message
        assert len(message.body) <= LARGEST_MESSAGE
    assert all(
        len(a.keys) == ReceiptOutbox.most_per_message or len(a.body) + 1 + sizes[b.keys[0] - 1] > LARGEST_MESSAGE
        for a, b in pairwise(messages)
    ), "no message ends earlier than it must"
