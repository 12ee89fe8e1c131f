"""A message of the stream, taken apart without believing it."""

import asyncio
import hashlib
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.journal import MOST_FAULTS, MOST_TOKENS, JournalKind, kind_of, publisher_of, read_message, storable
from tests.gateway.deliveries import delivery
from tests.support.authority import MadeAuthority
from trust import ijson
from trust.token import TokenType

NOW = datetime.now(UTC).replace(microsecond=0)
DIGEST = "5" * 64


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> MadeAuthority:
    return MadeAuthority(tmp_path_factory.mktemp("journal"), NOW, ("MPW", "MOF"))


def signed(authority: MadeAuthority, typ: TokenType, *payloads: object) -> list[bytes]:
    tokens = asyncio.run(authority.signer("MOF").sign(typ, [ijson.dump(payload) for payload in payloads], 1))
    return [token.text for token in tokens]


def digest(token: bytes) -> str:
    return hashlib.sha256(token.rpartition(b".")[0]).hexdigest()


@pytest.mark.parametrize(
    ("routing_key", "kind"),
    [
        ("MOF.urgent", JournalKind.LETTER),
        ("MOF.routine", JournalKind.LETTER),
        ("MOF.notice", JournalKind.RECEIPTS),
        ("dead-letter", JournalKind.DEAD_LETTER),
        ("dead-letter.notice", JournalKind.DEAD_LETTER),
        ("dead-letters.notice", JournalKind.RECEIPTS),
        ("MOF.order", JournalKind.OTHER),
        ("tick", JournalKind.OTHER),
        ("urgent", JournalKind.LETTER),
        ("", JournalKind.OTHER),
    ],
)
def test_the_routing_key_says_what_a_message_is(routing_key: str, kind: JournalKind) -> None:
    assert kind_of(routing_key) is kind


@pytest.mark.parametrize(
    ("exchange", "publisher"),
    [("from.MPW", "MPW"), ("from.TRSL", "TRSL"), ("from.mpw", None), ("MPW", None), ("from.", None), ("x", None)],
)
def test_an_agencys_exchange_is_its_name(exchange: str, publisher: str | None) -> None:
    assert publisher_of(exchange) == publisher


def test_a_letter_is_known_by_its_token(authority: MadeAuthority) -> None:
    [letter] = signed(authority, TokenType.LETTER, {"digest": DIGEST})
    message = read_message(delivery(letter, offset=5))
    [token] = message.tokens
    assert (token.digest, token.type, token.about) == (digest(letter), "tarasul-letter+jws", None)
    assert (message.offset, message.publisher, message.kind) == (5, "MPW", JournalKind.LETTER)


def test_receipts_are_known_one_by_one_and_by_what_they_are_about(authority: MadeAuthority) -> None:
    receipts = signed(
        authority, TokenType.RECEIPT, {"sub_id": {"digest": DIGEST}}, {"sub_id": {"digest": "x"}}, {"sub_id": 1}
    )
    message = read_message(delivery(b"\n".join([*receipts, b"junk"]), routing_key="MPW.notice", offset=0))
    assert [token.digest for token in message.tokens] == [*map(digest, receipts), hashlib.sha256(b"junk").hexdigest()]
    assert [token.about for token in message.tokens] == [DIGEST, None, None, None]
    assert [token.type for token in message.tokens] == ["secevent+jwt"] * 3 + ["unreadable"]


def test_a_dead_letter_is_known_by_its_statement_and_by_what_is_in_it(authority: MadeAuthority) -> None:
    [statement] = signed(authority, TokenType.DEAD_LETTER, {"digest": DIGEST})
    message = read_message(delivery(b"junk", routing_key="dead-letter", statement=statement, offset=1))
    assert [(token.type, token.about) for token in message.tokens] == [
        ("tarasul-dead-letter+jws", DIGEST),
        ("unreadable", None),
    ]
    assert message.statement == statement


@pytest.mark.parametrize(("body", "most"), [(b"\n" * 1_000_000, MOST_FAULTS + 1), (b"a\n" * 70, MOST_FAULTS + 1)])
def test_a_message_of_line_feeds_is_not_a_million_rows(body: bytes, most: int) -> None:
    message = read_message(delivery(body, routing_key="MPW.notice", offset=1))
    assert len(message.tokens) == most
    rest = b"\n".join(body.split(b"\n")[MOST_FAULTS:])
    assert message.tokens[-1].digest == hashlib.sha256(rest).hexdigest()


def test_more_receipts_than_any_adapter_sends_are_recorded_as_one_piece(authority: MadeAuthority) -> None:
    [receipt] = signed(authority, TokenType.RECEIPT, {"sub_id": {"digest": DIGEST}})
    message = read_message(delivery(b"\n".join([receipt] * (MOST_TOKENS + 5)), routing_key="MPW.notice", offset=1))
    assert len(message.tokens) == MOST_TOKENS + 1
    assert message.tokens[-1].type == "unreadable"


@pytest.mark.parametrize("offset", [None, "5"])
def test_what_has_no_offset_is_of_no_stream(offset: object) -> None:
    found = delivery(b"x")
    headers = {"x-stream-offset": offset} if offset is not None else {}
    with pytest.raises(ValueError, match="without x-stream-offset"):
        read_message(
            found.__class__("journal", "from.MPW", "MOF.routine", b"x", headers, None, None, redelivered=False)
        )


def test_a_message_is_known_again_by_all_of_its_parts() -> None:
    parts = {"exchange": "from.MPW", "routing_key": "MOF.routine", "statement": b"s"}
    digests = {read_message(delivery(b"x", offset=1, **parts)).message_digest}
    digests |= {
        read_message(delivery(b"x", offset=1, **parts | changed)).message_digest
        for changed in (
            {"exchange": "from.MOF"},
            {"routing_key": "MOF.routin"},
            {"statement": b"t"},
            {"statement": None},
        )
    }
    digests.add(read_message(delivery(b"ex", offset=1, **parts | {"routing_key": "MOF.routin"})).message_digest)
    assert len(digests) == 6
    assert read_message(delivery(b"x", offset=2, **parts)).message_digest in digests


@settings(max_examples=200, deadline=None)
@given(
    body=st.binary(max_size=200),
    routing_key=st.one_of(
        st.text(max_size=30), st.sampled_from(["MOF.urgent", "MOF.notice", "dead-letter", "a\0.notice"])
    ),
    statement=st.one_of(st.none(), st.binary(max_size=40)),
)
def test_any_message_can_be_recorded(body: bytes, routing_key: str, statement: bytes | None) -> None:
    message = read_message(delivery(body, routing_key=routing_key, statement=statement, offset=3))
    assert message.body == body
    assert message.statement == statement
    assert message.tokens
    assert all(len(token.digest) == 64 for token in message.tokens)
    assert message.routing_key == storable(message.routing_key)


@given(st.text(st.characters(codec=None)))
def test_every_text_can_be_stored_in_either_database(text: str) -> None:
    kept = storable(text)
    assert "\0" not in kept
    assert kept.encode("utf-8").decode("utf-8") == kept
    assert text == kept or not text.isprintable()
