"""The API's description of itself: valid to an independent judge, and every refusal in it really happens."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from agency_adapter.api import bodies
from agency_adapter.api.app import create_app
from schemas.errors import CATALOGUE, ErrorCode
from schemas.identifiers import uuid7
from tests.coverage_of_codes import saw_code
from tests.support.running_adapter import ARABIC_SUBJECT, Reply, RunningAdapter, Server, letter_request, serving

OAS = json.loads((Path(__file__).parent / "data" / "openapi-3.1.schema.json").read_text("utf-8"))
UNKNOWN = uuid7(0, bytes(10))
CLERK = {"registered_by": "السجل العام"}
RETURN = {"returned_by": "السجل العام", "reason": "duplicate"}
LETTERS, REGISTRATION, RETURNING = "/v1/letters", "/v1/inbox/{letter_id}/registration", "/v1/inbox/{letter_id}/return"


@pytest.fixture(scope="module")
def document(adapter: RunningAdapter) -> dict[str, Any]:
    return adapter.get("/openapi.json").json()


@pytest.fixture(scope="module")
def broken(adapter: RunningAdapter) -> Iterator[Server]:
    """An API with nothing behind it: whatever it is asked fails."""
    app = create_app(
        None,  # type: ignore[arg-type] # nothing, which is the point
        token=adapter.token,
        readiness=None,  # type: ignore[arg-type] # as above
        metrics=None,  # type: ignore[arg-type] # as above
        largest_body=4096,
        version="0",
    )
    with serving(app) as server:
        server.token = adapter.token
        yield server


def test_the_description_is_valid_openapi(document: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator(OAS).validate(document)


def test_every_schema_in_it_is_valid_json_schema(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert len(schemas) > 20
    for schema in schemas.values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_every_description_of_a_refusal_names_codes_with_that_status(document: dict[str, Any]) -> None:
    for operations in document["paths"].values():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                codes = [ErrorCode(word) for word in response["description"].split("`")[1::2]]
                assert {CATALOGUE[code].status for code in codes} <= {int(status)}
                assert codes or int(status) < 400


# -- one way to each refusal ----------------------------------------------------------------------------------

Case = Callable[[RunningAdapter, str, str], Reply]


def body_of(path: str) -> dict[str, Any]:
    return {LETTERS: letter_request(), REGISTRATION: CLERK, RETURNING: RETURN}[path]


def place(adapter: RunningAdapter, path: str) -> str:
    """``path`` with a letter that is there."""
    return path.format(letter_id=adapter.arrive() if "{letter_id}" in path else "", direction="outgoing")


def without_token(adapter: RunningAdapter, method: str, path: str) -> Reply:
    return adapter.request(method.upper(), place(adapter, path), token=None)


def unknown_letter(adapter: RunningAdapter, method: str, path: str) -> Reply:
    place = path.format(letter_id=UNKNOWN)
    return adapter.get(place) if method == "get" else adapter.post(place, body_of(path))


def wrong_parameter(adapter: RunningAdapter, _method: str, path: str) -> Reply:
    return adapter.get(path.format(direction="outgoing") + "?year=1&limit=0")


def wrong_sender(adapter: RunningAdapter, _method: str, path: str) -> Reply:
    return adapter.get(place(adapter, path) + "?sender=mpw")


def two_of_one_id(adapter: RunningAdapter, _method: str, path: str) -> Reply:
    letter_id = adapter.arrive("MPW")
    adapter.arrive("SAB", claims={"id": letter_id})
    return adapter.get(path.format(letter_id=letter_id))


def no_json(adapter: RunningAdapter, _method: str, path: str) -> Reply:
    return adapter.post(place(adapter, path), b"{")


def wrong_member(adapter: RunningAdapter, _method: str, path: str) -> Reply:
    return adapter.post(place(adapter, path), body_of(path) | {"surprise": 1})


def too_large(adapter: RunningAdapter, _method: str, path: str) -> Reply:
    return adapter.post(place(adapter, path), b" " * (adapter.largest_body + 1))


def other_media_type(adapter: RunningAdapter, _method: str, path: str) -> Reply:
    return adapter.post(place(adapter, path), body_of(path), {"Content-Type": "text/plain"})


def too_slow(adapter: RunningAdapter, _method: str, path: str) -> Reply:
    raw = adapter.raw(
        f"POST {place(adapter, path)} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n"
        f"Authorization: Bearer {adapter.token}\r\nConnection: close\r\n\r\n{{".encode()
    )
    return adapter.parsed(raw)


def same_key_for_another_letter(adapter: RunningAdapter, _method: str, path: str) -> Reply:
    key = {"Idempotency-Key": "one-of-two"}
    adapter.post(path, letter_request(), key)
    return adapter.post(path, letter_request(paper_original=True), key)


def done_before(adapter: RunningAdapter, _method: str, path: str) -> Reply:
    arrived = place(adapter, path)
    adapter.post(arrived, body_of(path))
    return adapter.post(arrived, body_of(path))


def sender_suspended(adapter: RunningAdapter, _method: str, path: str) -> Reply:
    with adapter.directory("MOF", status="suspended"):
        return adapter.post(path, letter_request())


def store_held_by_another(adapter: RunningAdapter, _method: str, path: str) -> Reply:
    arrived = place(adapter, path)
    with adapter.locked_store():
        return adapter.post(arrived, body_of(path))


def disk_full(adapter: RunningAdapter, _method: str, path: str) -> Reply:
    with adapter.full_disk():
        return adapter.post(
            path, letter_request(content={"subject": ARABIC_SUBJECT, "body": "ن" * 60_000, "fields": {}})
        )


def not_ready(adapter: RunningAdapter, _method: str, path: str) -> Reply:
    return adapter.request("GET", path, token=None)


OF_BODY = {
    400: (no_json, "json_malformed"),
    408: (too_slow, "request_timeout"),
    413: (too_large, "body_too_large"),
    415: (other_media_type, "media_type_wrong"),
    422: (wrong_member, "unknown_member"),
}
GUARDED = {401: (without_token, "unauthorised"), 500: (None, "internal")}
OF_ONE = {404: (unknown_letter, "letter_not_found")}
OF_LETTER = OF_ONE | {409: (two_of_one_id, "sender_ambiguous"), 422: (wrong_sender, "parameter_invalid")}
OF_LIST = {422: (wrong_parameter, "parameter_invalid")}
WAYS: dict[tuple[str, str], dict[int, tuple[Case | None, str]]] = {
    ("post", LETTERS): GUARDED
    | OF_BODY
    | {
        403: (sender_suspended, "sender_not_active"),
        409: (same_key_for_another_letter, "idempotency_conflict"),
        503: (disk_full, "storage_full"),
    },
    ("post", REGISTRATION): GUARDED
    | OF_BODY
    | OF_ONE
    | {409: (done_before, "already_registered"), 503: (store_held_by_another, "store_unavailable")},
    ("post", RETURNING): GUARDED
    | OF_BODY
    | OF_ONE
    | {409: (done_before, "already_returned"), 503: (store_held_by_another, "store_unavailable")},
    ("get", "/v1/letters/{letter_id}"): GUARDED | OF_LETTER,
    ("get", "/v1/letters/{letter_id}/timeline"): GUARDED | OF_LETTER,
    ("get", "/v1/letters/{letter_id}/jws"): GUARDED | OF_LETTER,
    ("get", "/v1/outbox"): GUARDED | OF_LIST,
    ("get", "/v1/inbox"): GUARDED | OF_LIST,
    ("get", "/v1/quarantine"): GUARDED | OF_LIST,
    ("get", "/v1/incidents"): GUARDED | OF_LIST,
    ("get", "/v1/directory"): GUARDED,
    ("get", "/v1/numbers/{direction}/gaps"): GUARDED | OF_LIST,
    ("get", "/healthz"): {},
    ("get", "/readyz"): {500: (None, "internal"), 503: (not_ready, "not_ready")},
    ("get", "/metrics"): {500: (None, "internal")},
}


def test_every_documented_refusal_has_its_way(document: dict[str, Any]) -> None:
    documented = {
        (method, path): {int(status) for status in operation["responses"] if int(status) >= 400}
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }
    assert documented == {operation: set(ways) for operation, ways in WAYS.items()}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [(method, path, status) for (method, path), ways in WAYS.items() for status in sorted(ways)],
)
def test_every_documented_refusal_happens(
    adapter: RunningAdapter,
    broken: Server,
    document: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    path: str,
    status: int,
) -> None:
    monkeypatch.setattr(bodies, "BODY_TIMEOUT_SECONDS", 0.2)
    way, code = WAYS[method, path][status]
    ask = partial(way, adapter) if way is not None else partial(fail, broken)
    problem = ask(method, path).problem(status)
    saw_code(problem["code"])
    assert problem["code"] == code
    assert f"`{code}`" in document["paths"][path][method]["responses"][str(status)]["description"]
    schema = {"$ref": "#/components/schemas/Problem", "components": document["components"]}
    jsonschema.Draft202012Validator(schema).validate(problem)


def fail(broken: Server, method: str, path: str) -> Reply:
    place = path.format(letter_id=UNKNOWN, direction="outgoing")
    return broken.get(place) if method == "get" else broken.post(place, body_of(path))
