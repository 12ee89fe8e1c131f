"""Sending and looking at letters through the local API of a real adapter."""

import http.client
import json
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broker.clock import Clock
from tests.support.running_adapter import ARABIC_BODY, ARABIC_SUBJECT, RunningAdapter, letter_request
from trust.token import TokenType, open_token


def test_an_accepted_letter_is_answered_with_its_id_number_and_place(adapter: RunningAdapter) -> None:
    reply = adapter.post("/v1/letters", letter_request())
    assert reply.status == 202
    accepted = reply.json()
    assert set(accepted) == {"id", "outgoing_no", "digest"}
    assert reply.headers["Location"] == f"/v1/letters/{accepted['id']}"
    assert reply.headers["Cache-Control"] == "no-store"
    assert accepted["outgoing_no"].startswith(f"MOF/{adapter.year}/")


def test_arabic_text_comes_back_byte_for_byte(adapter: RunningAdapter) -> None:
    letter_id = adapter.send()
    shown = adapter.get(f"/v1/letters/{letter_id}").json()
    assert shown["direction"] == "outgoing"
    assert shown["subject"] == ARABIC_SUBJECT
    assert shown["letter"]["content"]["body"].encode() == ARABIC_BODY.encode()
    assert shown["not_understood"] == []


def test_the_signed_letter_is_served_as_it_was_signed(adapter: RunningAdapter) -> None:
    accepted = adapter.post("/v1/letters", letter_request()).json()
    reply = adapter.get(f"/v1/letters/{accepted['id']}/jws")
    assert reply.headers["Content-Type"] == "application/jose"
    token = open_token(reply.body, TokenType.LETTER)
    assert token.digest == accepted["digest"]
    assert token.claims()["content"]["body"] == ARABIC_BODY


def test_the_timeline_begins_with_the_commit(adapter: RunningAdapter) -> None:
    letter_id = adapter.send()
    timeline = adapter.get(f"/v1/letters/{letter_id}/timeline").json()
    assert timeline["id"] == letter_id
    assert [entry["event"] for entry in timeline["entries"]] == ["stored"]
    assert timeline["entries"][0]["at"].endswith("+03:00")


def test_transmissions_of_a_new_letter_wait_to_be_sent(adapter: RunningAdapter) -> None:
    letter_id = adapter.send(recipients=[{"agency": "MPW"}, {"agency": "SAB", "role": "cc"}])
    shown = adapter.get(f"/v1/letters/{letter_id}").json()
    assert [(each["recipient"], each["role"], each["state"]) for each in shown["transmissions"]] == [
        ("MPW", "to", "accepted"),
        ("SAB", "cc", "accepted"),
    ]


def test_an_unknown_letter_is_not_found(adapter: RunningAdapter) -> None:
    for letter_id in ("01890a5d-ac96-774b-bcce-b302099a8057", "no-id", "%E2%80%AE" * 30):
        for tail in ("", "/timeline", "/jws"):
            problem = adapter.get(f"/v1/letters/{letter_id}{tail}").problem(404)
            assert problem["code"] == "letter_not_found"
            assert "\u202e" not in problem["detail_ar"]


def test_the_same_idempotency_key_and_content_gets_the_same_answer(adapter: RunningAdapter) -> None:
    request = letter_request()
    first = adapter.post("/v1/letters", request, {"Idempotency-Key": "order-7"})
    again = adapter.post("/v1/letters", request, {"Idempotency-Key": "order-7"})
    assert again.status == first.status == 202
    assert again.body == first.body
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"


def test_the_same_idempotency_key_with_other_content_is_a_conflict(adapter: RunningAdapter) -> None:
    adapter.post("/v1/letters", letter_request(), {"Idempotency-Key": "order-8"})
    other = letter_request(content={"subject": "موضوع آخر تماماً", "body": ARABIC_BODY, "fields": {}})
    problem = adapter.post("/v1/letters", other, {"Idempotency-Key": "order-8"}).problem(409)
    assert problem["code"] == "idempotency_conflict"


@pytest.mark.parametrize("key", ["", "with space", "x" * 129, "tab\tin", "é"])
def test_an_idempotency_key_that_is_not_1_to_128_visible_characters_is_refused(
    adapter: RunningAdapter, key: str
) -> None:
    reply = adapter.post("/v1/letters", letter_request(), {"Idempotency-Key": key})
    assert reply.problem(422)["code"] == "idempotency_key_invalid"


def test_two_idempotency_keys_are_refused(adapter: RunningAdapter) -> None:
    reply = adapter.raw(
        b"POST /v1/letters HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
        b"Idempotency-Key: a\r\nIdempotency-Key: b\r\nConnection: close\r\n"
        b"Authorization: Bearer " + adapter.token.encode() + b"\r\n\r\n{}"
    )
    assert b" 422 " in reply.split(b"\r\n")[0]
    assert b"idempotency_key_invalid" in reply


def test_an_own_number_is_kept_and_not_given_twice(adapter: RunningAdapter) -> None:
    accepted = adapter.post("/v1/letters", letter_request(outgoing_no="م.م/7/2026")).json()
    assert accepted["outgoing_no"] == "م.م/7/2026"
    problem = adapter.post("/v1/letters", letter_request(outgoing_no="م.م/7/2026")).problem(409)
    assert (problem["code"], problem["pointer"]) == ("outgoing_number_taken", "/outgoing_no")


@pytest.mark.parametrize(
    ("change", "code", "pointer"),
    [
        ({"surprise": 1}, "unknown_member", "/surprise"),
        ({"recipients": [{"agency": "MPW", "cc": True}]}, "unknown_member", "/recipients/0/cc"),
        ({"content": {"subject": "موضوع الكتاب", "body": "", "fields": {}}}, "value_out_of_range", "/content/body"),
        ({"content": {"subject": "موضوع الكتاب", "body": "نص", "a/b~c": 1}}, "unknown_member", "/content/a~1b~0c"),
        ({"content": None}, "value_wrong_type", "/content"),
        ({"recipients": []}, "value_out_of_range", "/recipients"),
        ({"urgency": "SOON"}, "value_not_listed", "/urgency"),
        ({"secrecy": "SECRET"}, "encryption_required", "/secrecy"),
        ({"recipients": [{"agency": "NOBODY"}]}, "recipient_unknown", "/recipients/0/agency"),
        ({"type": "letter.unheard/1"}, "type_unknown", "/type"),
    ],
)
def test_what_cannot_be_sent_is_refused_with_code_and_place(
    adapter: RunningAdapter, change: dict[str, object], code: str, pointer: str
) -> None:
    problem = adapter.post("/v1/letters", letter_request(**change)).problem(422)
    assert (problem["code"], problem["pointer"]) == (code, pointer)


def test_an_attachment_is_refused_not_ignored(adapter: RunningAdapter) -> None:
    manifest = [{"name": "a.pdf", "media_type": "application/pdf", "size": 1, "sha256": "0" * 64, "key": "k"}]
    content = {"subject": ARABIC_SUBJECT, "body": ARABIC_BODY, "fields": {}, "attachments": manifest}
    problem = adapter.post("/v1/letters", letter_request(content=content)).problem(422)
    assert problem["code"] == "attachments_not_available"


def test_a_missing_member_is_named(adapter: RunningAdapter) -> None:
    request = letter_request()
    del request["content"]
    problem = adapter.post("/v1/letters", request).problem(422)
    assert (problem["code"], problem["pointer"]) == ("member_missing", "/content")


def test_several_faults_are_all_listed(adapter: RunningAdapter) -> None:
    problem = adapter.post("/v1/letters", letter_request(one=1, two=2)).problem(422)
    assert {fault["pointer"] for fault in problem["errors"]} == {"/one", "/two"}
    assert all(fault["detail_ar"] for fault in problem["errors"])


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "json_malformed"),
        (b"{", 400, "json_malformed"),
        (b"\xff\xfe{}", 400, "json_malformed"),
        (b"[]", 400, "payload_not_object"),
        (b'{"a": 1, "a": 2}', 400, "payload_member_duplicate"),
        (b'{"a": NaN}', 400, "number_not_finite"),
        (b'{"a": 1.5}', 400, "number_not_integer"),
        (b'{"a": 9007199254740993}', 400, "number_out_of_range"),
        (b'{"a": "\\ud800"}', 400, "surrogate_lone"),
        (b'{"a": ' * 33 + b"1" + b"}" * 33, 400, "payload_too_deep"),
        (b"[" * 100_000, 400, "payload_too_deep"),
    ],
)
def test_json_that_is_not_strict_is_refused(adapter: RunningAdapter, body: bytes, status: int, code: str) -> None:
    problem = adapter.post("/v1/letters", body).problem(status)
    assert problem["code"] == code


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": ""},
        {"Content-Type": "application/json; charset=utf-16"},
        {"Content-Encoding": "gzip"},
    ],
)
def test_another_media_type_is_refused(adapter: RunningAdapter, headers: dict[str, str]) -> None:
    assert adapter.post("/v1/letters", letter_request(), headers).problem(415)["code"] == "media_type_wrong"


def test_a_body_over_the_limit_is_refused_by_its_announced_length(adapter: RunningAdapter) -> None:
    problem = adapter.post("/v1/letters", b" " * (adapter.largest_body + 1)).problem(413)
    assert problem["code"] == "body_too_large"


def test_a_body_over_the_limit_is_refused_without_an_announced_length(adapter: RunningAdapter) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", adapter.port, timeout=30)
    chunk = b" " * 65536
    connection.request(
        "POST",
        "/v1/letters",
        iter([chunk] * (adapter.largest_body // len(chunk) + 2)),
        {"Authorization": f"Bearer {adapter.token}", "Content-Type": "application/json"},
        encode_chunked=True,
    )
    response = connection.getresponse()
    assert response.status == 413
    assert json.loads(response.read())["code"] == "body_too_large"
    connection.close()


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ("ن" * 128_000, 202, None),
        ("ن" * 129_000, 413, "payload_too_large"),
        ("ن" * 140_000, 413, "payload_too_large"),
        ("n" * 130_000, 202, None),
        # Within a letter's size; what is over is this member's own limit, and so it is named.
        ("n" * 130_001, 422, "value_out_of_range"),
        ("n" * 300_000, 413, "payload_too_large"),
        # Escapes count as what they stand for: 90,000 bytes in the letter, 270,000 in the request.
        (r"\u0646" * 45_000, 202, None),
    ],
)
def test_what_fits_no_letter_is_too_large_whatever_the_limits_of_its_members(
    adapter: RunningAdapter, body: str, status: int, code: str | None
) -> None:
    content = {"subject": ARABIC_SUBJECT, "body": "", "fields": {}}
    request = json.dumps(letter_request(content=content), ensure_ascii=False).replace('"body": ""', f'"body": "{body}"')
    reply = adapter.post("/v1/letters", request.encode())
    assert reply.status == status, reply.body
    if code is not None:
        assert reply.json()["code"] == code
        assert reply.json().get("pointer") == (None if status == 413 else "/content/body")


def test_the_outbox_is_paged_newest_first(adapter: RunningAdapter) -> None:
    sent = [adapter.send() for _ in range(5)]
    first = adapter.get("/v1/outbox?limit=2").json()
    second = adapter.get(f"/v1/outbox?limit=2&cursor={first['next']}").json()
    assert [item["id"] for item in first["items"] + second["items"]] == sent[:0:-1]
    assert all(item["direction"] == "outgoing" for item in first["items"])


def test_the_last_page_has_no_next(adapter: RunningAdapter) -> None:
    adapter.send()
    cursor, seen = None, []
    while True:
        page = adapter.get("/v1/outbox?limit=200" + (f"&cursor={cursor}" if cursor else "")).json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert len(seen) == len(set(seen))


def test_the_outbox_is_filtered_by_state(adapter: RunningAdapter) -> None:
    letter_id = adapter.send()
    ids = [item["id"] for item in adapter.get("/v1/outbox?state=accepted").json()["items"]]
    assert letter_id in ids
    assert adapter.get("/v1/outbox?state=delivered").json()["items"] == []


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("cursor=rubbish", "cursor_invalid"),
        ("cursor=%00", "cursor_invalid"),
        ("cursor=czk5OTk5OTk5OTk5OTk5OTk5OTk", "cursor_invalid"),  # s9999999999999999999: no store counts so far
        ("cursor=" + "A" * 65, "parameter_invalid"),
        ("limit=0", "parameter_invalid"),
        ("limit=201", "parameter_invalid"),
        ("limit=many", "parameter_invalid"),
        ("state=lost", "parameter_invalid"),
        ("sort=subject", "parameter_unknown"),
    ],
)
def test_a_wrong_parameter_is_named(adapter: RunningAdapter, query: str, code: str) -> None:
    problem = adapter.get(f"/v1/outbox?{query}").problem(422)
    assert problem["code"] == code
    if code.startswith("parameter"):
        assert query.partition("=")[0] in problem["detail"]


def test_a_full_disk_stops_acceptance_and_loses_nothing(adapter: RunningAdapter) -> None:
    kept = adapter.send()
    large = letter_request(content={"subject": ARABIC_SUBJECT, "body": "ن" * 60_000, "fields": {}})
    with adapter.full_disk():
        reply = adapter.post("/v1/letters", large)
        assert reply.problem(503)["code"] == "storage_full"
        assert int(reply.headers["Retry-After"]) > 0
        assert adapter.get(f"/v1/letters/{kept}").status == 200
    assert adapter.post("/v1/letters", large).status == 202


def test_many_at_once_are_each_accepted_with_a_number_of_their_own(adapter: RunningAdapter) -> None:
    answers: list[dict[str, str]] = []

    def send_some() -> None:
        answers.extend(adapter.post("/v1/letters", letter_request()).json() for _ in range(10))

    threads = [threading.Thread(target=send_some) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({answer["outgoing_no"] for answer in answers}) == 40
    assert len({answer["id"] for answer in answers}) == 40


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.floats(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=20,
)
_MEMBERS = st.sampled_from([*letter_request(), "sender", "references", "reply", "issued_at", "expires_at"])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(document=_JSON | st.dictionaries(_MEMBERS, _JSON, max_size=6))
def test_any_json_gets_an_answer_or_a_problem(adapter: RunningAdapter, document: object) -> None:
    body = document
    if isinstance(document, dict):
        body = letter_request() | document
    reply = adapter.post("/v1/letters", json.dumps(body).encode())
    assert reply.status == 202 or reply.problem(reply.status)["status"] in range(400, 500)


def test_the_clock_of_the_adapter_dates_the_letter(adapter: RunningAdapter) -> None:
    before = Clock().now()
    shown = adapter.get(f"/v1/letters/{adapter.send()}").json()
    assert shown["accepted_at"] >= before.astimezone(adapter.kuwait).isoformat(timespec="milliseconds")
