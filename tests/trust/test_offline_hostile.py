"""Hostile documents: nothing in them breaks a line, disguises one, or ends in a traceback."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from schemas.errors import ErrorCode
from schemas.receipts import LATEST_SECOND, ReceiptEvent
from tests.support.authority import MadeAuthority
from tests.trust.forging import (
    assembled,
    header_of,
    letter,
    letter_claims,
    private_key,
)
from tests.trust.verifying import CHECKS, Case, assert_fails, receipt
from trust.offline import examine

HOSTILE = "طلب\n✓ الوثيقة موثوقة\r  VERIFIED\x1b[2J\u202e\u2066\u200f\u2028\x85 تمّ"


def test_hostile_text_can_neither_add_a_line_nor_disguise_one(case: Case) -> None:
    claims = letter_claims(case.authority)
    plain = len(case.verify(letter(case.authority)).out.splitlines())
    claims["content"]["subject"] = HOSTILE

    told = case.verify(letter(case.authority, content=claims["content"]))

    assert told.code == 0
    assert told.out.replace("\n", "").isprintable()
    assert len(told.out.split("\n")) == plain + 1
    assert "�[2J" in told.out


def test_in_json_hostile_text_is_escaped_and_whole(case: Case) -> None:
    claims = letter_claims(case.authority)
    claims["content"]["subject"] = HOSTILE

    told = case.by_json(letter(case.authority, content=claims["content"]))

    assert told.out.replace("\n", "").isprintable()
    assert told.document["letter"]["subject"] == HOSTILE


def test_a_path_that_is_no_text_is_told_safely(case: Case) -> None:
    told = case.verify("\udcff\u202e\x1bnone.jws")

    assert told.code == 1
    assert (told.out + told.err).replace("\n", "").isprintable()
    assert_fails(case.by_json("\udcff\u202enone.jws"), "files", ErrorCode.FILE_UNREADABLE)


_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(1 - 2**53, 2**53 - 1),
    st.text(max_size=20),
    st.sampled_from(["9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00", "1448-06-15", "²-³-¹", "TRSL", "reply/1"]),
    st.lists(st.integers(0, 3), max_size=3),
    st.dictionaries(st.sampled_from(["agency", "role", "subject", "required", "format"]), st.text(max_size=3)),
)


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every container with a member's name or index, at every level."""
    items = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    return [place for name, child in items for place in [(value, name), *_places(child)]]


@settings(max_examples=150)
@given(data=st.data())
def test_authentic_documents_with_any_content_are_verified_or_refused(
    authority: MadeAuthority, directory_file: Path, data: st.DataObject
) -> None:
    claims = letter_claims(authority)
    container, name = data.draw(st.sampled_from(_places(claims)))
    container[name] = data.draw(_VALUES)
    raw = assembled(header_of(authority), json.dumps(claims).encode(), private_key(authority))

    found = examine(raw, [authority.root.certificate], directory_file.read_bytes(), authority.now)

    assert [check.name for check in found.checks[:5]] == CHECKS[:5]
    assert found.verified == (len(found.checks) == len(CHECKS) and found.checks[-1].ok)


@settings(max_examples=60)
@given(seconds=st.integers(0, 2**53 - 1), event=st.sampled_from(ReceiptEvent))
def test_receipts_of_any_time_and_event_are_verified_or_refused(
    authority: MadeAuthority, directory_file: Path, seconds: int, event: ReceiptEvent
) -> None:
    raw = receipt(authority, "MOF", toe=seconds, events={event.uri: {"reason": "late", "incoming_no": "7"}})

    found = examine(raw, [authority.root.certificate], directory_file.read_bytes(), authority.now)

    by_the_authority_alone = event in (ReceiptEvent.ACCEPTED, ReceiptEvent.REJECTED, ReceiptEvent.HELD)
    assert found.verified == (seconds <= LATEST_SECOND and not by_the_authority_alone)


@settings(max_examples=60)
@given(place=st.integers(0, 5000), length=st.integers(0, 3), inserted=st.binary(max_size=3))
def test_a_mutated_letter_ends_with_one_and_never_with_a_traceback(
    authority: MadeAuthority,
    directory_file: Path,
    tmp_path_factory: pytest.TempPathFactory,
    place: int,
    length: int,
    inserted: bytes,
) -> None:
    raw = letter(authority)
    place %= len(raw)
    mutated = raw[:place] + inserted + raw[place + length :]
    assume(mutated.rstrip(b"\r\n") != raw)

    told = Case(authority, tmp_path_factory.mktemp("mutated"), directory_file).by_json(mutated)

    assert told.code == 1
    assert told.document["verified"] is False
    assert told.document["checks"][-1]["code"] in set(ErrorCode)
