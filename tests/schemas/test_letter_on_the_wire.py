"""A letter as it arrives: what is unknown is kept, what is wrong is refused with its place."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.envelope import Lane, Urgency, lane_of, parse_letter
from schemas.errors import ErrorCode, Refused
from schemas.letter_checks import check_letter
from tests.schemas.letters import CITED, REMOVED, TYPES, changed, letter
from tests.schemas.refusals import refused_with

FULL: dict[str, Any] = letter() | {
    "references": [CITED | {"relation": "REFERS_TO"}],
    "reply": {"required": True, "due_at": "2026-03-10T12:00:00+03:00"},
}
FULL["content"] |= {
    "attachments": [
        {"name": "كراسة.pdf", "media_type": "application/pdf", "size": 1, "sha256": "0" * 64, "key": "vault/1"}
    ]
}


@pytest.mark.parametrize("name", TYPES)
def test_a_letter_of_each_type_is_read(name: str) -> None:
    arrived = parse_letter(letter(name))
    check_letter(arrived)
    assert arrived.type == name


@pytest.mark.parametrize(
    "place",
    [
        "",
        "/sender",
        "/recipients/0",
        "/references/0",
        "/reply",
        "/content",
        "/content/fields",
        "/content/signatories/0",
        "/content/attachments/0",
    ],
)
@pytest.mark.parametrize("value", [None, "x", 2**53 - 1, [], {"deep": [{"er": True}]}], ids=str)
def test_an_unknown_member_is_kept_at_every_level_and_never_a_reason_to_refuse(place: str, value: object) -> None:
    arrived = parse_letter(changed(FULL, f"{place}/later", value))
    check_letter(arrived)
    found: Any = arrived.model_dump(mode="json")
    for step in place.split("/")[1:]:
        found = found[int(step)] if isinstance(found, list) else found[step]
    assert found["later"] == value


WRONG: list[tuple[str, object, str]] = [
    ("/id", REMOVED, "/id"),
    ("/id", "1", "/id"),
    ("/type", REMOVED, "/type"),
    ("/type", "x" * 81, "/type"),
    ("/sender", REMOVED, "/sender"),
    ("/sender/agency", "mof", "/sender/agency"),
    ("/recipients", [], "/recipients"),
    ("/recipients/0/role", REMOVED, "/recipients/0/role"),
    ("/recipients/0/role", "bcc", "/recipients/0/role"),
    ("/outgoing_no", REMOVED, "/outgoing_no"),
    ("/outgoing_no", "", "/outgoing_no"),
    ("/thread_id", REMOVED, "/thread_id"),
    ("/references/0/relation", "ANSWERS", "/references/0/relation"),
    ("/references/0/date", "2026-02-30", "/references/0/date"),
    ("/issued_at", REMOVED, "/issued_at"),
    ("/issued_at", "2026-03-01", "/issued_at"),
    ("/issued_at", "2026-13-01T00:00:00Z", "/issued_at"),
    ("/expires_at", REMOVED, "/expires_at"),
    ("/expires_at", "2026-04-01T24:30:00Z", "/expires_at"),
    ("/expires_at", "2026-04-01T00:00:00+24:00", "/expires_at"),
    ("/secrecy", REMOVED, "/secrecy"),
    ("/secrecy", "TOP", "/secrecy"),
    ("/data_class", REMOVED, "/data_class"),
    ("/urgency", REMOVED, "/urgency"),
    ("/action", REMOVED, "/action"),
    ("/paper_original", REMOVED, "/paper_original"),
    ("/paper_original", 0, "/paper_original"),
    ("/retention_class", REMOVED, "/retention_class"),
    ("/reply", REMOVED, "/reply"),
    ("/reply/required", "no", "/reply/required"),
    ("/reply/due_at", "2026-03-10T12:61:00+03:00", "/reply/due_at"),
    ("/content", REMOVED, "/content"),
    ("/content", None, "/content"),
    ("/encrypted", {}, "/content"),
    ("/content/subject", REMOVED, "/content/subject"),
    ("/content/subject", "ك" * 251, "/content/subject"),
    ("/content/body", "", "/content/body"),
    ("/content/fields", [], "/content/fields"),
    ("/content/attachments/0/size", -1, "/content/attachments/0/size"),
    ("/content/attachments/0/size", True, "/content/attachments/0/size"),
    ("/content/attachments/0/sha256", "0" * 63, "/content/attachments/0/sha256"),
    ("/content/attachments/0/media_type", "pdf", "/content/attachments/0/media_type"),
]


@pytest.mark.parametrize(("place", "value", "pointer"), WRONG, ids=ascii)
def test_a_missing_or_wrong_member_is_refused_with_its_place(place: str, value: object, pointer: str) -> None:
    refused_with(lambda: parse_letter(changed(FULL, place, value)), ErrorCode.SCHEMA_INVALID, pointer)


@pytest.mark.parametrize(
    ("place", "value", "code", "pointer"),
    [
        ("/recipients/1/agency", "MPW", ErrorCode.RECIPIENT_TWICE, "/recipients/1/agency"),
        ("/recipients/0/agency", "MOF", ErrorCode.RECIPIENT_IS_SENDER, "/recipients/0/agency"),
        ("/expires_at", "2026-03-01T12:00:00+03:00", ErrorCode.DEADLINE_OUT_OF_RANGE, "/expires_at"),
        ("/expires_at", "2026-08-28T12:00:01+03:00", ErrorCode.DEADLINE_OUT_OF_RANGE, "/expires_at"),
    ],
)
def test_the_rules_between_members_hold_on_the_wire_too(
    place: str, value: object, code: ErrorCode, pointer: str
) -> None:
    refused_with(lambda: parse_letter(changed(FULL, place, value)), code, pointer)
    parse_letter(changed(FULL, "/expires_at", "2026-08-28T12:00:00+03:00"))


def test_an_encrypted_letter_is_read_without_its_content() -> None:
    claims = changed(letter("circular/1"), "/content", REMOVED) | {"encrypted": {"ciphertext": "x"}}
    arrived = parse_letter(claims)
    check_letter(arrived)
    assert (arrived.content, arrived.encrypted) == (None, {"ciphertext": "x"})


def test_a_type_or_major_version_that_is_not_known_is_refused() -> None:
    arrived = parse_letter(FULL | {"type": "letter.general/2"})
    refused_with(lambda: check_letter(arrived), ErrorCode.TYPE_UNKNOWN, "/type", type="letter.general/2")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def places(value: object, pointer: str = "") -> list[str]:
    steps: list[tuple[object, object]] = []
    if isinstance(value, dict):
        steps = list(value.items())
    elif isinstance(value, list):
        steps = list(enumerate(value))
    return [f"{pointer}/{step}" for step, _ in steps] + [
        deeper for step, inner in steps for deeper in places(inner, f"{pointer}/{step}")
    ]


@given(st.sampled_from(TYPES), st.data())
def test_whatever_stands_in_a_letter_it_is_read_or_refused(name: str, data: st.DataObject) -> None:
    claims = letter(name)
    place = data.draw(st.sampled_from(places(claims)))
    claims = changed(claims, place, data.draw(JSON))
    before = json.dumps(claims)
    try:
        arrived = parse_letter(claims)
        check_letter(arrived)
        _ = arrived.issued_at_instant, arrived.expires_at_instant, arrived.reply.due_at_instant
    except Refused as refusal:
        assert refusal.pointer is not None  # noqa: PT017 - whether it refuses is not known before
        assert refusal.text("ar")  # noqa: PT017 - as above
    assert json.dumps(claims) == before, "the claims are never written to"


@pytest.mark.parametrize(
    ("type_name", "urgency", "lane"),
    [
        ("letter.general/1", Urgency.ROUTINE, Lane.ROUTINE),
        ("letter.general/1", Urgency.URGENT, Lane.URGENT),
        ("reply/1", Urgency.VERY_URGENT, Lane.URGENT),
        ("reminder/1", Urgency.IMMEDIATE, Lane.URGENT),
        *(("circular/1", urgency, Lane.ROUTINE) for urgency in Urgency),
        ("circular/2", Urgency.IMMEDIATE, Lane.ROUTINE),
        ("circular.group/1", Urgency.URGENT, Lane.URGENT),
    ],
)
def test_no_circular_travels_in_the_urgent_lane(type_name: str, urgency: Urgency, lane: Lane) -> None:
    assert lane_of(type_name, urgency) is lane
