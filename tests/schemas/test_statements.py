"""Dead-letter statements: whatever a stranger's message looked like, the statement about it can be read."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.errors import ErrorCode
from schemas.statements import build_dead_letter, parse_dead_letter
from tests.schemas.letters import REMOVED, changed
from tests.schemas.refusals import refused_with
from trust import ijson


def statement(exchange: str = "from.SAB", routing_key: str = "MOF.routine") -> dict[str, Any]:
    return build_dead_letter(
        agency="MOF",
        recipient="MOF",
        digest="ab" * 32,
        reason="foreign_exchange",
        stage="inbox",
        attempts=1,
        exchange=exchange,
        routing_key=routing_key,
        received_at=1_772_355_600,
        given_up_at=1_772_355_601,
    )


def test_a_statement_survives_being_built_and_read() -> None:
    claims = statement()
    assert claims == {
        "iss": "MOF",
        "recipient": "MOF",
        "digest": "ab" * 32,
        "reason": "foreign_exchange",
        "stage": "inbox",
        "attempts": 1,
        "exchange": "from.SAB",
        "routing_key": "MOF.routine",
        "received_at": 1_772_355_600,
        "given_up_at": 1_772_355_601,
    }
    assert parse_dead_letter(claims | {"later": [1]}).model_dump() == claims | {"later": [1]}


@given(st.text(st.characters(codec=None), max_size=300), st.text(max_size=300))
@example("ا\u0654", "e\u0301")  # not NFC: a strict reader would refuse the statement about it
@example("\ufffe", "\udc80")
@example("a" * 300, "ك" * 255)
def test_a_strangers_routing_key_never_makes_the_statement_unreadable(exchange: str, routing_key: str) -> None:
    written = ijson.dump(statement(exchange, routing_key))
    read = parse_dead_letter(ijson.parse(written, max_bytes=16 * 1024))
    assert (read.exchange + read.routing_key).isascii()
    assert (read.exchange + read.routing_key).isprintable()


def test_what_does_not_print_is_written_as_escapes() -> None:
    read = parse_dead_letter(statement("from.SAB\x00", "MOF.\u202eعاجل"))
    assert read.exchange == r"from.SAB\x00"
    assert read.routing_key == r"MOF.\u202e\u0639\u0627\u062c\u0644"


@pytest.mark.parametrize(
    ("place", "value"),
    [(f"/{member}", REMOVED) for member in statement()]
    + [
        ("/iss", "mof"),
        ("/recipient", ""),
        ("/digest", "ab"),
        ("/reason", "x" * 65),
        ("/stage", "x" * 33),
        ("/attempts", 0),
        ("/attempts", "1"),
        ("/routing_key", "x" * 256),
        ("/received_at", -1),
        ("/given_up_at", True),
    ],
    ids=ascii,
)
def test_a_malformed_statement_is_refused_with_its_place(place: str, value: object) -> None:
    refused_with(lambda: parse_dead_letter(changed(statement(), place, value)), ErrorCode.SCHEMA_INVALID, place)
