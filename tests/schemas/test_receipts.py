"""Receipts: one event each, by its URI; bad news with its reason."""

import re
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import ErrorCode, Refused
from schemas.reasons import INCIDENT, NON_DELIVERY, RETURN, IncidentReason, NonDeliveryReason, ReturnReason, reason_text
from schemas.receipts import (
    AUTHORITY_EVENTS,
    RECIPIENT_EVENTS,
    SUBJECT_FORMAT,
    ReceiptEvent,
    build_receipt,
    parse_receipt,
    required_detail,
)
from tests.schemas.letters import LETTER_ID, REMOVED, THREAD_ID, changed
from tests.schemas.refusals import refused_with

ETSI = "http://uri.etsi.org/19522/Event/"
EVENTS = {
    "accepted": (ETSI + "SubmissionAcceptance", "accepted", "قُبِل", None),
    "rejected": (ETSI + "SubmissionRejection", "refused", "رُفِض", "reason"),
    "held": ("urn:x-tarasul:event:held", "held", "مُعلَّق", "reason"),
    "delivered": (ETSI + "ContentConsignment", "delivered", "سُلِّم", None),
    "not_delivered": (ETSI + "ContentConsignmentFailure", "not delivered", "تعذّر تسليمه", "reason"),
    "handed_over": (ETSI + "ContentHandover", "handed over", "أُدخل نظام الجهة", None),
    "hand_over_failed": (ETSI + "ContentHandoverFailure", "hand-over failed", "تعذّر إدخاله", "reason"),
    "opened": (ETSI + "ContentAccessTracking", "opened", "فُتح", None),
    "registered": ("urn:x-tarasul:event:registered", "registered", "قُيِّد", "incoming_no"),
    "returned": ("urn:x-tarasul:event:returned", "returned", "أُعيد", "reason"),
}
"""URI, what stands on screen in English and Arabic, and what the event cannot do without."""

DETAILS: Mapping[str | None, dict[str, Any]] = {
    None: {},
    "reason": {"reason": "late"},
    "incoming_no": {"incoming_no": "و/2026/9"},
}


def receipt(event: ReceiptEvent = ReceiptEvent.DELIVERED, **details: Any) -> dict[str, Any]:
    return build_receipt(
        event=event,
        issuer="MOF",
        audience="MPW",
        jti=LETTER_ID,
        issued_at=1_772_355_601,
        occurred_at=1_772_355_600,
        thread_id=THREAD_ID,
        letter_id=LETTER_ID,
        recipient="MOF",
        digest="ab" * 32,
        details=DETAILS[required_detail(event)] | details,
    )


def test_the_events_are_those_of_the_table() -> None:
    assert {
        event.value: (event.uri, event.label("en"), event.label("ar"), required_detail(event)) for event in ReceiptEvent
    } == EVENTS


@pytest.mark.parametrize("event", ReceiptEvent)
def test_a_receipt_of_each_event_survives_being_built_and_read(event: ReceiptEvent) -> None:
    claims = receipt(event, clerk={"post": "كاتب السجل"})
    assert list(claims["events"]) == [event.uri]
    read = parse_receipt(claims)
    assert read.event is event
    assert (read.iss, read.aud, read.jti, read.txn) == ("MOF", "MPW", LETTER_ID, THREAD_ID)
    assert (read.iat, read.toe) == (1_772_355_601, 1_772_355_600)
    assert read.sub_id.model_dump() == {
        "format": SUBJECT_FORMAT,
        "letter": LETTER_ID,
        "recipient": "MOF",
        "digest": "ab" * 32,
    }
    assert read.reason == claims["events"][event.uri].get("reason")
    assert read.incoming_no == claims["events"][event.uri].get("incoming_no")
    assert read.model_dump(mode="json", exclude_none=True) == claims


def test_a_receipt_for_a_letter_that_could_not_be_read_names_its_digest_alone() -> None:
    claims = build_receipt(
        event=ReceiptEvent.NOT_DELIVERED,
        issuer="MOF",
        audience="MPW",
        jti=LETTER_ID,
        issued_at=1,
        occurred_at=0,
        thread_id=None,
        letter_id=None,
        recipient="MOF",
        digest="ab" * 32,
        details={"reason": "payload_malformed"},
    )
    assert "txn" not in claims
    assert "letter" not in claims["sub_id"]
    read = parse_receipt(claims)
    assert (read.txn, read.sub_id.letter) == (None, None)


@pytest.mark.parametrize("place", ["", "/sub_id", f"/events/{EVENTS['delivered'][0].replace('/', '~1')}"])
def test_unknown_members_of_a_receipt_are_kept(place: str) -> None:
    claims = receipt()
    {"": claims, "/sub_id": claims["sub_id"]}.get(place, claims["events"][EVENTS["delivered"][0]])["later"] = [1]
    assert parse_receipt(claims).model_dump(mode="json", exclude_none=True) == claims


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("/iss", REMOVED),
        ("/iss", "mof"),
        ("/aud", REMOVED),
        ("/aud", ["MPW"]),
        ("/jti", REMOVED),
        ("/jti", "1"),
        ("/iat", REMOVED),
        ("/iat", "1772355601"),
        ("/iat", -1),
        ("/iat", True),
        ("/iat", 2**53 - 1),
        ("/toe", REMOVED),
        ("/toe", 253_402_300_800),
        ("/txn", "x" * 65),
        ("/sub_id", REMOVED),
        ("/sub_id/format", "opaque"),
        ("/sub_id/format", REMOVED),
        ("/sub_id/letter", "x" * 65),
        ("/sub_id/recipient", REMOVED),
        ("/sub_id/digest", REMOVED),
        ("/sub_id/digest", "AB" * 32),
        ("/events", REMOVED),
        ("/events", {}),
        ("/events", []),
        ("/events", {EVENTS["delivered"][0]: {}, EVENTS["opened"][0]: {}}),
        ("/events", {"delivered": {}}),
        ("/events", {"urn:x-tarasul:event:later": {}}),
    ],
    ids=ascii,
)
def test_a_malformed_receipt_is_refused_with_its_place(place: str, value: object) -> None:
    refused_with(lambda: parse_receipt(changed(receipt(), place, value)), ErrorCode.SCHEMA_INVALID, place)


def test_an_event_without_an_object_of_details_is_refused() -> None:
    claims = receipt() | {"events": {ReceiptEvent.HELD.uri: "late"}}
    refused_with(lambda: parse_receipt(claims), ErrorCode.SCHEMA_INVALID, "/events/urn:x-tarasul:event:held")


@pytest.mark.parametrize("event", [event for event in ReceiptEvent if required_detail(event) is not None])
@pytest.mark.parametrize("value", [None, "absent", 7, "", "سبب\u202eما\n", "x" * 201])
def test_bad_news_has_a_coded_reason_and_a_registration_its_number(event: ReceiptEvent, value: object) -> None:
    claims = receipt(event)
    details = claims["events"][event.uri]
    member = required_detail(event)
    assert member is not None
    if value == "absent":
        del details[member]
    else:
        details[member] = value
    pointer = "/events/" + event.uri.replace("/", "~1") + f"/{member}"
    refused_with(lambda: parse_receipt(claims), ErrorCode.SCHEMA_INVALID, pointer)


def test_a_reason_of_a_newer_release_is_kept_as_it_stands() -> None:
    assert parse_receipt(receipt(ReceiptEvent.HELD, reason="moon_phase")).reason == "moon_phase"
    assert reason_text("moon_phase") is None


def test_who_may_say_what() -> None:
    assert set(ReceiptEvent) == RECIPIENT_EVENTS | AUTHORITY_EVENTS
    assert {event for event in RECIPIENT_EVENTS if event in AUTHORITY_EVENTS} == {ReceiptEvent.NOT_DELIVERED}
    assert {
        ReceiptEvent.ACCEPTED,
        ReceiptEvent.REJECTED,
        ReceiptEvent.HELD,
        ReceiptEvent.NOT_DELIVERED,
    } == AUTHORITY_EVENTS


def test_every_reason_has_texts_and_fits_a_receipt() -> None:
    assert set(NON_DELIVERY) == set(NonDeliveryReason)
    assert set(INCIDENT) == set(IncidentReason)
    assert set(RETURN) == set(ReturnReason)
    for reason in (*NonDeliveryReason, *IncidentReason, *ReturnReason):
        assert parse_receipt(receipt(ReceiptEvent.RETURNED, reason=reason.value)).reason == reason
        assert reason_text(reason) is not None


def test_a_code_of_two_lists_means_the_same_in_both() -> None:
    lists: list[set[str]] = [set(NON_DELIVERY), set(INCIDENT), set(RETURN)]
    assert sum(len(codes) for codes in lists) == len(set().union(*lists))


VALUES = st.none() | st.integers() | st.text(max_size=80) | st.from_regex(r"[a-z][a-z0-9_]{0,63}", fullmatch=True)


@given(st.sampled_from(ReceiptEvent), VALUES, VALUES)
def test_whatever_the_details_are_what_is_read_of_them_is_fit_to_be_shown(
    event: ReceiptEvent, reason: object, number: object
) -> None:
    claims = receipt(event, reason=reason, incoming_no=number)
    try:
        read = parse_receipt(claims)
    except Refused as refusal:
        assert (refusal.code, (refusal.pointer or "")[:8]) == (ErrorCode.SCHEMA_INVALID, "/events/")  # noqa: PT017 - not known before
        return
    assert (read.reason, read.incoming_no) == (reason, number)
    assert re.fullmatch(r"[a-z][a-z0-9_]{0,63}", read.reason or "none")
    assert not set(read.incoming_no or "") & set("\u202e\u200b\x1b\n")
