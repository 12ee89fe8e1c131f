"""What is checked in equals what the models give, and the schemas judge as the code does."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import error_pages
from schemas.envelope import parse_letter, parse_request
from schemas.errors import ErrorCode, Refused
from schemas.letter_checks import check_letter
from schemas.publication import FOLDER, documents, write, written
from schemas.receipts import ReceiptEvent, parse_receipt, required_detail
from tests.schemas import test_letter_on_the_wire as on_the_wire
from tests.schemas import test_letter_request as at_the_api
from tests.schemas.letters import REMOVED, TYPES, changed, letter, request
from tests.schemas.test_directory_payload import DIRECTORY
from tests.schemas.test_incidents import notice
from tests.schemas.test_letter_on_the_wire import JSON, places
from tests.schemas.test_letter_types import REQUIRED, WRONG
from tests.schemas.test_receipts import EVENTS, receipt
from tests.schemas.test_statements import statement
from tests.schemas.validators import validator

PUBLISHED: dict[str, dict[str, Any]] = {
    path.name: json.loads(path.read_text(encoding="utf-8")) for path in FOLDER.glob("*.schema.json")
}
LETTER = validator(PUBLISHED["letter.schema.json"])
REQUEST = validator(PUBLISHED["letter-request.schema.json"])
RECEIPT = validator(PUBLISHED["receipt.schema.json"])

BETWEEN_MEMBERS = {
    ErrorCode.TYPE_UNKNOWN,
    ErrorCode.SENDER_NOT_ALLOWED,
    ErrorCode.RECIPIENT_TWICE,
    ErrorCode.RECIPIENT_IS_SENDER,
    ErrorCode.DEADLINE_OUT_OF_RANGE,
    ErrorCode.CIVIL_NUMBER_INVALID,
}
"""What a schema cannot say: which types and senders there are, rules between members, check digits."""
CALENDAR = ("no such day or hour", "no day of the calendar", "outside the calendar in Kuwait's time")
"""Nor does it know the calendar: its patterns admit 30 February and hour 25."""


def beyond_a_schema(refusal: Refused) -> bool:
    problem = str(refusal.params.get("problem", ""))
    return refusal.code in BETWEEN_MEMBERS or problem.endswith(CALENDAR)


def test_the_published_documents_are_those_of_the_models() -> None:
    expected = {name: written(document) for name, document in documents().items()}
    assert {path.name: path.read_text(encoding="utf-8") for path in FOLDER.iterdir()} == expected, (
        "run python -m schemas.publication"
    )


def test_the_page_of_codes_is_that_of_the_catalogue() -> None:
    assert error_pages.PAGE.read_text(encoding="utf-8") == error_pages.page(), "run python -m schemas.error_pages"


def test_writing_makes_the_folder_and_gives_every_path(tmp_path: Path) -> None:
    paths = list(write(tmp_path / "new"))
    assert sorted(path.name for path in paths) == sorted(documents())
    assert all(path.is_file() for path in paths)


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_every_schema_is_valid_2020_12_with_an_id_of_its_own(name: str) -> None:
    schema = PUBLISHED[name]
    validator(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert [other["$id"] for other in PUBLISHED.values()].count(schema["$id"]) == 1


@pytest.mark.parametrize("name", TYPES)
def test_a_letter_of_each_type_fits_the_schemas(name: str) -> None:
    LETTER.validate(letter(name))
    REQUEST.validate(request(name))
    fields = validator(PUBLISHED[f"fields.{name.replace('/', '-')}.schema.json"])
    fields.validate(letter(name)["content"]["fields"])


WIRE_TABLE = [
    *(changed(on_the_wire.FULL, place, value) for place, value, _ in on_the_wire.WRONG),
    *(changed(letter(name), f"/content/fields/{member}", REMOVED) for name, member in REQUIRED),
    *(changed(letter(name), f"/content/fields/{member}", value) for name, member, value in WRONG),
    changed(letter("referral/1"), "/content/fields", REMOVED),
    changed(on_the_wire.FULL, "/recipients/1/agency", "MPW"),
    changed(on_the_wire.FULL, "/recipients/1/agency", "MOF"),
    changed(on_the_wire.FULL, "/type", "letter.general/2"),
    changed(on_the_wire.FULL, "/expires_at", "2027-03-01T12:00:00+03:00"),
    changed(letter("circular/1"), "/sender/agency", "KM"),
    changed(letter("referral/1"), "/content/fields/applicant_civil_id", "285051900011"),
    *(changed(letter(), "/recipients/0/post", f"مد{character}ير") for character in "\u202e\u200f\u200b\x00\u3164"),
]


@pytest.mark.parametrize("claims", WIRE_TABLE, ids=range(len(WIRE_TABLE)))
def test_what_is_refused_on_arrival_the_schema_refuses_if_it_can(claims: dict[str, Any]) -> None:
    with pytest.raises(Refused) as refused:
        check_letter(parse_letter(claims))
    assert LETTER.is_valid(claims) is beyond_a_schema(refused.value), str(refused.value)


@given(st.sampled_from(TYPES), st.data())
def test_the_schema_judges_any_change_as_the_code_does(name: str, data: st.DataObject) -> None:
    claims = letter(name)
    place = data.draw(st.sampled_from(places(claims)))
    claims = changed(claims, place, data.draw(JSON | st.just(REMOVED)))
    found: Refused | None = None
    try:
        check_letter(parse_letter(claims))
    except Refused as refusal:
        found = refusal
    assert LETTER.is_valid(claims) is (found is None or beyond_a_schema(found)), str(found)


@pytest.mark.parametrize(
    ("place", "value"),
    [*at_the_api.WRONG, ("/surprise", 1), ("/content/surprise", 1), ("/reply/surprise", 1)],
    ids=ascii,
)
def test_what_the_api_refuses_the_schema_of_requests_refuses_if_it_can(place: str, value: object) -> None:
    claims = changed(at_the_api.FULL, place, value)
    with pytest.raises(Refused) as refused:
        parse_request(claims)
    assert REQUEST.is_valid(claims) is beyond_a_schema(refused.value), str(refused.value)


def test_the_full_request_and_letter_fit_the_schemas() -> None:
    REQUEST.validate(at_the_api.FULL)
    LETTER.validate(on_the_wire.FULL)
    LETTER.validate(changed(letter(), "/content", REMOVED) | {"encrypted": {"ciphertext": "x"}})


@pytest.mark.parametrize("event", ReceiptEvent)
def test_the_schema_of_receipts_knows_each_event_and_what_it_needs(event: ReceiptEvent) -> None:
    RECEIPT.validate(receipt(event))
    needed = required_detail(event)
    without = receipt(event) | {"events": {event.uri: {}}}
    assert RECEIPT.is_valid(without) is (needed is None)
    for value in (None, 7, "", "A\u202eB"):
        wrong = receipt(event) | {"events": {event.uri: {"reason": value, "incoming_no": value}}}
        assert RECEIPT.is_valid(wrong) is (value is None and needed is None)


@pytest.mark.parametrize(
    "events",
    [{}, {"delivered": {}}, {EVENTS["delivered"][0]: {}, EVENTS["opened"][0]: {}}, {EVENTS["held"][0]: "late"}],
    ids=["none", "unknown", "two", "no object"],
)
def test_the_schema_of_receipts_takes_one_known_event(events: dict[str, Any]) -> None:
    claims = receipt() | {"events": events}
    assert not RECEIPT.is_valid(claims)
    with pytest.raises(Refused):
        parse_receipt(claims)


def test_directories_and_statements_fit_their_schemas() -> None:
    directory = validator(PUBLISHED["directory.schema.json"])
    directory.validate(DIRECTORY | {"later": 1})
    assert not directory.is_valid(changed(DIRECTORY, "/agencies/0/code", "mpw"))
    statements = validator(PUBLISHED["dead-letter-statement.schema.json"])
    statements.validate(statement())
    assert not statements.is_valid(statement() | {"attempts": 0})


def test_incident_notices_fit_their_schema() -> None:
    notices = validator(PUBLISHED["incident-notice.schema.json"])
    notices.validate(notice() | {"later": 1})
    assert not notices.is_valid(notice() | {"digest": "no digest"})
