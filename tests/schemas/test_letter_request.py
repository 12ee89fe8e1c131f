"""What the API takes: strict, each refusal with its code and place."""

from datetime import timedelta
from typing import Any

import pytest

from schemas.envelope import MOST_RECIPIENTS, parse_request
from schemas.errors import ErrorCode
from schemas.letter_checks import check_request
from tests.schemas.letters import NOW, REMOVED, SENDER, changed, request, sent
from tests.schemas.refusals import refused_with

FULL: dict[str, Any] = request("reply/1") | {
    "sender": {"unit": "الشؤون المالية", "post": "مدير الإدارة"},
    "recipients": [
        {"agency": "MPW", "units": ["القسم الأول", "القسم الثاني"], "post": "الوكيل", "role": "to"},
        {"agency": "SAB", "role": "cc"},
    ],
    "outgoing_no": "م ش/2026/15",
    "thread_id": "019ca8b1-5a00-7abc-9def-000000000000",
    "references": [{"agency": "MPW", "outgoing_no": "77", "date": "2026-01-15", "relation": "REPLIES_TO"}],
    "issued_at": "2026-03-01T11:30:00+03:00",
    "hijri_date": "1447-09-12",
    "expires_at": "2026-04-01T00:00:00Z",
    "secrecy": "RESTRICTED",
    "data_class": "SENSITIVE",
    "urgency": "URGENT",
    "action": "FOR_OPINION",
    "paper_original": True,
    "retention_class": "R-FIN",
    "reply": {"required": True, "due_at": "2026-03-10T12:00:00+03:00"},
}
"""Says everything that a sender may say."""


def test_the_full_request_is_let_through() -> None:
    check_request(parse_request(FULL), SENDER, NOW)


@pytest.mark.parametrize(
    "place",
    [
        "",
        "/sender",
        "/recipients/1",
        "/references/0",
        "/reply",
        "/content",
        "/content/signatories/0",
    ],
)
def test_an_unknown_member_is_refused_by_name_at_every_level(place: str) -> None:
    refused_with(
        lambda: parse_request(changed(FULL, f"{place}/surprise", None)),
        ErrorCode.UNKNOWN_MEMBER,
        f"{place}/surprise",
        member="surprise",
    )


def test_the_place_of_an_unknown_member_is_an_escaped_json_pointer() -> None:
    claims = FULL | {"a/b~c": 1}
    refused_with(lambda: parse_request(claims), ErrorCode.UNKNOWN_MEMBER, "/a~1b~0c", member="a/b~c")


WRONG: list[tuple[str, object]] = [
    ("/recipients", REMOVED),
    ("/recipients", []),
    ("/recipients/0/agency", "mpw"),
    ("/recipients/0/agency", "MPW\n"),
    ("/recipients/0/agency", REMOVED),
    ("/recipients/0/role", "bcc"),
    ("/recipients/0/units", ["قسم"] * 51),
    ("/content", REMOVED),
    ("/content/subject", REMOVED),
    ("/content/subject", 12345),
    ("/content/body", REMOVED),
    ("/content/fields", []),
    ("/content/signatories", [{"post": "مدير"}] * 11),
    ("/content/signatories/0/post", ""),
    ("/type", ""),
    ("/type", "x" * 81),
    ("/outgoing_no", "7" * 201),
    ("/thread_id", "019ca8b1-5a00-4abc-9def-000000000000"),
    ("/references", [{}] * 51),
    ("/references/0/date", "2026-02-29"),
    ("/references/0/date", "2026-1-15"),
    ("/references/0/relation", "ANSWERS"),
    ("/issued_at", "2026-03-01T11:30:00"),
    ("/issued_at", "2026-03-01 11:30:00+03:00"),
    ("/issued_at", 1_772_355_600),
    ("/issued_at", "2026-03-01T11:30:00+03"),
    ("/issued_at", "2026-02-30T11:30:00Z"),
    ("/expires_at", "2026-04-01T24:00:00Z"),
    ("/expires_at", "2026-04-01T23:59:60Z"),
    ("/expires_at", "2026-04-01T00:00:00+24:00"),
    ("/expires_at", "0000-04-01T00:00:00Z"),
    ("/expires_at", "٢٠٢٦-04-01T00:00:00Z"),
    ("/hijri_date", "1232-09-01"),
    ("/hijri_date", "1447/09/12"),
    ("/secrecy", "TOP"),
    ("/secrecy", None),
    ("/data_class", "public"),
    ("/urgency", "URGENTLY"),
    ("/action", ""),
    ("/paper_original", 1),
    ("/paper_original", "true"),
    ("/retention_class", "R-fin"),
    ("/reply/required", REMOVED),
    ("/reply/required", "yes"),
    ("/reply/due_at", "tomorrow"),
    ("/reply/due_at", "9999-12-31T23:59:59-12:00"),
    ("/reply/due_at", "0001-01-01T00:00:00+14:00"),
]


@pytest.mark.parametrize(("place", "value"), WRONG, ids=ascii)
def test_a_wrong_member_is_refused_with_its_place(place: str, value: object) -> None:
    pointer = "/references/0/agency" if place == "/references" else place
    found = refused_with(lambda: parse_request(changed(FULL, place, value)), ErrorCode.SCHEMA_INVALID, pointer)
    assert pointer in found.text("en")
    assert pointer in found.text("ar")


@pytest.mark.parametrize("place", ["/content/subject", "/sender/post", "/thread_id"])
def test_a_refusal_never_repeats_the_value(place: str) -> None:
    claims = changed(FULL, place, "سر" * 300)
    found = refused_with(lambda: parse_request(claims), ErrorCode.SCHEMA_INVALID, place)
    assert "سر" not in f"{found} {found.params}"


def seen(claims: dict[str, Any], sender: str = SENDER) -> None:
    check_request(parse_request(claims), sender, NOW)


def test_an_agency_stands_once_among_the_recipients_and_the_sender_never() -> None:
    refused_with(
        lambda: seen(changed(FULL, "/recipients/1/agency", "MPW")),
        ErrorCode.RECIPIENT_TWICE,
        "/recipients/1/agency",
        agency="MPW",
    )
    refused_with(
        lambda: seen(changed(FULL, "/recipients/1/agency", SENDER)),
        ErrorCode.RECIPIENT_IS_SENDER,
        "/recipients/1/agency",
        agency=SENDER,
    )


def test_a_letter_has_at_most_250_recipients() -> None:
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    many = [{"agency": f"Z{a}{b}"} for a in letters for b in letters][: MOST_RECIPIENTS + 1]
    assert MOST_RECIPIENTS == 250
    seen(FULL | {"recipients": many[:MOST_RECIPIENTS]})
    refused_with(lambda: parse_request(FULL | {"recipients": many}), ErrorCode.SCHEMA_INVALID, "/recipients")


@pytest.mark.parametrize("secrecy", ["CONFIDENTIAL", "SECRET"])
def test_what_must_be_encrypted_is_refused(secrecy: str) -> None:
    refused_with(lambda: seen(FULL | {"secrecy": secrecy}), ErrorCode.ENCRYPTION_REQUIRED, "/secrecy", secrecy=secrecy)


def test_attachments_are_refused_and_an_empty_manifest_is_not() -> None:
    seen(changed(FULL, "/content/attachments", []))
    refused_with(
        lambda: seen(changed(FULL, "/content/attachments", [{"name": "a.pdf"}])),
        ErrorCode.ATTACHMENTS_NOT_AVAILABLE,
        "/content/attachments",
    )


def test_an_unknown_type_is_refused() -> None:
    refused_with(lambda: seen(FULL | {"type": "reply/2"}), ErrorCode.TYPE_UNKNOWN, "/type", type="reply/2")


def after(**span: int) -> str:
    return (NOW + timedelta(**span)).isoformat()


@pytest.mark.parametrize(
    ("changes", "code", "pointer"),
    [
        ({"expires_at": after()}, ErrorCode.DEADLINE_OUT_OF_RANGE, "/expires_at"),
        ({"expires_at": after(seconds=-1)}, ErrorCode.DEADLINE_OUT_OF_RANGE, "/expires_at"),
        ({"expires_at": after(microseconds=999_999)}, ErrorCode.DEADLINE_OUT_OF_RANGE, "/expires_at"),
        ({"expires_at": after(seconds=1)}, None, None),
        ({"expires_at": after(days=180)}, None, None),
        ({"expires_at": after(days=180, seconds=1)}, ErrorCode.DEADLINE_OUT_OF_RANGE, "/expires_at"),
        ({"issued_at": after(minutes=5)}, None, None),
        ({"issued_at": after(minutes=5, seconds=1)}, ErrorCode.ISSUED_IN_FUTURE, "/issued_at"),
        ({"issued_at": after(days=-29)}, None, None),
        ({"issued_at": after(days=-30)}, ErrorCode.DEADLINE_OUT_OF_RANGE, "/issued_at"),
        ({"issued_at": after(days=-170), "expires_at": after(days=10)}, None, None),
        ({"issued_at": after(days=-170), "expires_at": after()}, ErrorCode.DEADLINE_OUT_OF_RANGE, "/expires_at"),
        (
            {"issued_at": after(days=-170), "expires_at": after(days=10, seconds=1)},
            ErrorCode.DEADLINE_OUT_OF_RANGE,
            "/expires_at",
        ),
        ({"reply": {"required": True, "due_at": after(seconds=1)}}, None, None),
        ({"reply": {"required": True, "due_at": after()}}, ErrorCode.SCHEMA_INVALID, "/reply/due_at"),
        ({"reply": {"required": True, "due_at": after(microseconds=1)}}, ErrorCode.SCHEMA_INVALID, "/reply/due_at"),
        ({"reply": {"required": False, "due_at": after(days=1)}}, ErrorCode.SCHEMA_INVALID, "/reply/due_at"),
        ({"reply": {"required": False}}, None, None),
    ],
    ids=str,
)
def test_the_dates_of_a_letter_must_fit_each_other_and_now(
    changes: dict[str, Any], code: ErrorCode | None, pointer: str | None
) -> None:
    claims = request() | changes
    if code is None:
        sent(claims)
    else:
        refused_with(lambda: seen(claims), code, pointer)


def test_without_an_instant_the_systems_clock_decides() -> None:
    asked = parse_request(request() | {"expires_at": "2026-02-01T00:00:00Z", "issued_at": "2026-01-01T00:00:00Z"})
    refused_with(lambda: check_request(asked, SENDER), ErrorCode.DEADLINE_OUT_OF_RANGE, "/expires_at")
