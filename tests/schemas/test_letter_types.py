"""What each type says: fields, senders, replies, clocks, checklist."""

from typing import Any

import pytest

from schemas import civil_number
from schemas.agencies import AGENCIES
from schemas.envelope import MOST_DAYS, parse_letter, parse_request
from schemas.errors import ErrorCode, Refused
from schemas.letter_checks import check_letter, check_request
from schemas.letter_type import LetterType
from schemas.type_registry import all_types, letter_type
from tests.schemas.letters import CITED, NOW, REMOVED, SENDER, TYPES, changed, letter, request, sent
from tests.schemas.refusals import refused_with

KINDS = list(all_types().values())
ISSUERS_OF_CIRCULARS = {"CMGS", "CSC", "MOF", "SAB", "CAIT"}


def refusal(type_name: str, pointer: str, value: object, sender: str = SENDER) -> Refused:
    with pytest.raises(Refused) as caught:
        check_request(parse_request(changed(request(type_name), pointer, value)), sender, NOW)
    return caught.value


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_what_a_type_refers_to_exists(kind: LetterType) -> None:
    assert (kind.allowed_senders or set()) <= set(AGENCIES)
    assert 0 < kind.default_deadline_days <= MOST_DAYS
    assert kind.ar
    assert kind.en
    for item in kind.checklist:
        assert item.code
        assert item.ar
        assert item.en
        assert item.pointer.startswith("/")


@pytest.mark.parametrize(
    ("name", "reply_required", "acknowledgement_owed"),
    [
        ("letter.general/1", False, False),
        ("circular/1", False, True),
        ("referral/1", True, False),
        ("reply/1", False, False),
        ("reminder/1", True, False),
    ],
)
def test_what_is_owed_for_a_letter_depends_on_its_type(
    name: str, reply_required: bool, acknowledgement_owed: bool
) -> None:
    kind = letter_type(name)
    assert kind.reply_required is reply_required
    assert kind.acknowledgement_owed is acknowledgement_owed
    assert kind.default_deadline_days == 30
    assert (kind.acknowledgement_deadline is not None) is acknowledgement_owed
    assert letter(name)["reply"]["required"] is reply_required


def test_a_circular_is_to_be_registered_within_two_working_days() -> None:
    deadline = letter_type("circular/1").acknowledgement_deadline
    assert deadline is not None
    assert deadline.after(NOW).isoformat() == "2026-03-03T14:30:00+03:00"


@pytest.mark.parametrize(
    ("name", "urgency", "due_at"),
    [
        # NOW is Sunday noon: ten working days end on Sunday two weeks on.
        ("letter.general/1", "ROUTINE", "2026-03-15T14:30:00+03:00"),
        ("letter.general/1", "URGENT", "2026-03-04T14:30:00+03:00"),
        ("letter.general/1", "VERY_URGENT", "2026-03-02T14:30:00+03:00"),
        ("letter.general/1", "IMMEDIATE", "2026-03-02T09:00:00+03:00"),
        ("reply/1", "URGENT", "2026-03-04T14:30:00+03:00"),
        ("circular/1", "URGENT", "2026-03-04T14:30:00+03:00"),
        ("referral/1", "ROUTINE", "2026-03-15T14:30:00+03:00"),
        ("referral/1", "IMMEDIATE", "2026-03-15T14:30:00+03:00"),
        ("reminder/1", "ROUTINE", "2026-03-03T14:30:00+03:00"),
    ],
)
def test_a_reply_is_due_by_the_clock_of_the_type_or_of_the_urgency(name: str, urgency: str, due_at: str) -> None:
    asked = request(name) | {"urgency": urgency, "reply": {"required": True}}
    assert sent(asked)["reply"] == {"required": True, "due_at": due_at}


def test_the_senders_own_due_date_stands() -> None:
    asked = request("referral/1") | {"reply": {"required": True, "due_at": "2026-03-02T06:00:00Z"}}
    assert sent(asked)["reply"]["due_at"] == "2026-03-02T09:00:00+03:00"


def test_a_sender_may_ask_for_no_reply_where_the_type_would() -> None:
    assert sent(request("referral/1") | {"reply": {"required": False}})["reply"] == {"required": False}


@pytest.mark.parametrize("name", TYPES)
def test_only_some_agencies_issue_circulars_and_all_agencies_the_rest(name: str) -> None:
    asked, arrived = parse_request(request(name)), letter(name)
    for sender in sorted({*AGENCIES} - {"MPW", "SAB"}):
        arrived_from = parse_letter(changed(arrived, "/sender/agency", sender))
        if name != "circular/1" or sender in ISSUERS_OF_CIRCULARS:
            check_request(asked, sender, NOW)
            check_letter(arrived_from)
            continue
        for judged in (lambda: check_request(asked, sender, NOW), lambda: check_letter(arrived_from)):  # noqa: B023 - called at once
            refused_with(judged, ErrorCode.SENDER_NOT_ALLOWED, "/type", agency=sender, type=name)
    check_request(parse_request(changed(request("circular/1"), "/recipients/1/agency", "CSC")), "SAB", NOW)


REQUIRED = [
    ("circular/1", "circular_no"),
    ("circular/1", "year"),
    ("circular/1", "effective_from"),
    ("circular/1", "audience"),
    ("referral/1", "original"),
    ("referral/1", "reason"),
    ("referral/1", "keeps_copy"),
    ("reply/1", "in_reply_to"),
    ("reply/1", "outcome"),
    ("reply/1", "final"),
    ("reminder/1", "of"),
    ("reminder/1", "level"),
    ("reminder/1", "overdue_days"),
]


@pytest.mark.parametrize(("name", "member"), REQUIRED)
def test_a_field_that_the_type_needs_is_missed_at_both_ends(name: str, member: str) -> None:
    pointer = f"/content/fields/{member}"
    assert refusal(name, pointer, REMOVED).pointer == pointer
    refused_with(
        lambda: check_letter(parse_letter(changed(letter(name), pointer, REMOVED))), ErrorCode.SCHEMA_INVALID, pointer
    )


@pytest.mark.parametrize("name", TYPES)
def test_every_required_field_is_in_the_table_above(name: str) -> None:
    needed = {member for member, field in letter_type(name).fields.model_fields.items() if field.is_required()}
    assert {member for kind, member in REQUIRED if kind == name} == needed


WRONG: list[tuple[str, str, Any]] = [
    ("letter.general/1", "category", "fin"),
    ("letter.general/1", "category", "F" * 33),
    ("letter.general/1", "category", 7),
    ("circular/1", "circular_no", 0),
    ("circular/1", "circular_no", "9"),
    ("circular/1", "circular_no", True),
    ("circular/1", "year", 1899),
    ("circular/1", "effective_from", "2026-02-30"),
    ("circular/1", "effective_from", "01/04/2026"),
    ("circular/1", "supersedes", {"agency": "MOF"}),
    ("circular/1", "audience", "الكل"),
    ("referral/1", "original", []),
    ("referral/1", "original", CITED),
    ("referral/1", "original", [CITED] * 51),
    ("referral/1", "reason", "BOREDOM"),
    ("referral/1", "keeps_copy", 1),
    ("referral/1", "applicant_civil_id", "28505190000"),
    ("reply/1", "in_reply_to", "MPW/1"),
    ("reply/1", "outcome", "accepted"),
    ("reply/1", "final", "true"),
    ("reminder/1", "level", 0),
    ("reminder/1", "level", 4),
    ("reminder/1", "overdue_days", -1),
    ("reminder/1", "new_due_at", "soon"),
]


@pytest.mark.parametrize(("name", "member", "value"), WRONG)
def test_a_field_outside_its_bounds_is_refused_at_both_ends(name: str, member: str, value: Any) -> None:
    pointer = f"/content/fields/{member}"
    at_the_api = refusal(name, pointer, value)
    assert at_the_api.code is ErrorCode.SCHEMA_INVALID
    assert (at_the_api.pointer or "").startswith(pointer)
    with pytest.raises(Refused) as on_the_wire:
        check_letter(parse_letter(changed(letter(name), pointer, value)))
    assert (on_the_wire.value.code, on_the_wire.value.pointer) == (at_the_api.code, at_the_api.pointer)


def test_a_civil_number_with_a_wrong_check_digit_is_refused_without_repeating_it() -> None:
    eleven = "28505190001"
    digit = civil_number.check_digit(eleven)
    assert digit is not None
    right, wrong = f"{eleven}{digit}", f"{eleven}{(digit + 1) % 10}"
    check_request(
        parse_request(changed(request("referral/1"), "/content/fields/applicant_civil_id", right)), SENDER, NOW
    )
    found = refusal("referral/1", "/content/fields/applicant_civil_id", wrong)
    assert (found.code, found.pointer) == (ErrorCode.CIVIL_NUMBER_INVALID, "/content/fields/applicant_civil_id")
    assert wrong not in f"{found} {found.text('ar')} {found.params}"


@pytest.mark.parametrize(
    ("name", "inside"),
    [
        *((name, "") for name in TYPES),
        ("reply/1", "/in_reply_to"),
        ("reminder/1", "/of"),
        ("referral/1", "/original/0"),
    ],
)
def test_an_unknown_field_is_refused_by_name_at_the_api_and_kept_on_the_wire(name: str, inside: str) -> None:
    pointer = f"/content/fields{inside}/later_member"
    found = refusal(name, pointer, "x")
    assert (found.code, found.pointer) == (ErrorCode.UNKNOWN_MEMBER, pointer)
    assert found.params["member"] == "later_member"
    arrived = parse_letter(changed(letter(name), pointer, {"deep": ["x"]}))
    check_letter(arrived)
    assert arrived.content is not None
    assert "later_member" in str(arrived.content.fields)


CHECKLIST: list[tuple[str, str, list[tuple[str, Any]], str, bool]] = [
    ("circular/1", "signatory", [("/content/signatories", [])], "/content/signatories", False),
    ("circular/1", "signatory", [("/content/signatories", [{"post": "الوزير"}])], "", True),
    ("referral/1", "opinion_asked", [("/content/fields/reason", "OPINION")], "/action", False),
    ("referral/1", "opinion_asked", [("/content/fields/reason", "OPINION"), ("/action", "FOR_OPINION")], "", True),
    ("referral/1", "opinion_asked", [("/content/fields/reason", "ACTION")], "", True),
    ("reply/1", "partial_is_not_final", [("/content/fields/outcome", "PARTIAL")], "/content/fields/final", False),
    (
        "reply/1",
        "partial_is_not_final",
        [("/content/fields/outcome", "PARTIAL"), ("/content/fields/final", False)],
        "",
        True,
    ),
    ("reply/1", "partial_is_not_final", [("/content/fields/outcome", "DECLINED")], "", True),
    ("reminder/1", "new_deadline", [("/content/fields/level", 2)], "/content/fields/new_due_at", False),
    ("reminder/1", "new_deadline", [("/content/fields/level", 3)], "/content/fields/new_due_at", False),
    (
        "reminder/1",
        "new_deadline",
        [("/content/fields/level", 3), ("/content/fields/new_due_at", None)],
        "/content/fields/new_due_at",
        False,
    ),
    (
        "reminder/1",
        "new_deadline",
        [("/content/fields/level", 3), ("/content/fields/new_due_at", "2026-03-08")],
        "",
        True,
    ),
    ("reminder/1", "new_deadline", [("/content/fields/level", 1)], "", True),
]


@pytest.mark.parametrize(("name", "item", "changes", "pointer", "complete"), CHECKLIST)
def test_a_letter_is_sent_only_when_its_checklist_is_complete(
    name: str, item: str, changes: list[tuple[str, Any]], pointer: str, complete: bool
) -> None:
    claims = request(name)
    for place, value in changes:
        claims = changed(claims, place, value)
    asked = parse_request(claims)
    if complete:
        check_request(asked, SENDER, NOW)
        return
    found = refused_with(lambda: check_request(asked, SENDER, NOW), ErrorCode.CHECKLIST_INCOMPLETE, pointer, item=item)
    [listed] = [entry for entry in letter_type(name).checklist if entry.code == item]
    assert listed.ar in found.text("ar")
    assert listed.en in found.text("en")


def test_every_item_of_every_checklist_is_tried_both_ways() -> None:
    tried = {(name, item, complete) for name, item, _, _, complete in CHECKLIST}
    listed = {(kind.name, item.code) for kind in KINDS for item in kind.checklist}
    assert tried == {(name, code, complete) for name, code in listed for complete in (True, False)}


def test_the_checklist_is_the_senders_and_binds_no_letter_that_arrived() -> None:
    check_letter(parse_letter(changed(letter("reply/1"), "/content/fields/outcome", "PARTIAL")))
