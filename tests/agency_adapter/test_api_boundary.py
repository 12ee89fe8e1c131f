"""Who may ask, and what everybody gets: tokens, problems, health, metrics, the description."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from agency_adapter.api.app import create_app
from agency_adapter.api.problems import TITLES
from broker.session import SessionState
from schemas.errors import CATALOGUE, ErrorCode, Refused
from tests.coverage_of_codes import saw_code
from tests.support.adapters import eventually
from tests.support.running_adapter import RunningAdapter, letter_request, serving


def _fail() -> None:
    raise RuntimeError("a secret subject")


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", "Bearer wrong-token-wrong-token", "Basic {token}", "{token}"],
)
@pytest.mark.parametrize("path", ["/v1/outbox", "/v1/nothing", "/v1", "/v1/letters/x/jws"])
def test_without_the_token_nothing_under_v1_answers(
    adapter: RunningAdapter, authorization: str | None, path: str
) -> None:
    headers = {} if authorization is None else {"Authorization": authorization.format(token=adapter.token)}
    reply = adapter.request("GET", path, headers=headers, token=None)
    assert reply.problem(401)["code"] == "unauthorised"
    assert reply.headers["WWW-Authenticate"] == 'Bearer realm="tarasul"'


def test_a_body_is_not_read_without_the_token(adapter: RunningAdapter) -> None:
    reply = adapter.raw(
        b"POST /v1/letters HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Content-Length: 100000\r\nConnection: close\r\n\r\n"
    )
    assert b" 401 " in reply.split(b"\r\n")[0]


@pytest.mark.parametrize("path", ["/healthz", "/metrics", "/openapi.json"])
def test_whoever_watches_the_machine_needs_no_token(adapter: RunningAdapter, path: str) -> None:
    assert adapter.request("GET", path, token=None).status == 200


def test_an_unknown_address_is_a_problem(adapter: RunningAdapter) -> None:
    for path in ("/v1/nothing", "/nothing", "/v1/outbox/", "/docs", "/redoc"):
        assert adapter.get(path).problem(404)["code"] == "not_found"


def test_a_wrong_method_is_a_problem_that_names_the_right_one(adapter: RunningAdapter) -> None:
    reply = adapter.request("DELETE", "/v1/outbox")
    assert reply.problem(405)["code"] == "method_not_allowed"
    assert reply.headers["Allow"] == "GET"


def test_a_problem_document_has_both_languages_and_a_next_step(adapter: RunningAdapter) -> None:
    reply = adapter.post("/v1/letters", letter_request(surprise=1))
    assert reply.headers["Content-Type"] == "application/problem+json"
    problem = reply.problem(422)
    assert problem["type"] == "urn:x-tarasul:error:unknown_member"
    assert problem["status"] == 422
    for member in ("title", "title_ar", "detail", "detail_ar", "next_step", "next_step_ar"):
        assert problem[member]
    assert "surprise" in problem["detail"]
    assert "surprise" in problem["detail_ar"]


def test_an_adapter_without_its_broker_is_alive_and_not_ready(adapter: RunningAdapter) -> None:
    assert adapter.request("GET", "/healthz", token=None).json()["live"] is True
    problem = adapter.request("GET", "/readyz", token=None).problem(503)
    assert problem["code"] == "not_ready"
    assert "broker" in problem["detail"]
    checks = {check["name"]: check for check in problem["checks"]}
    assert checks["store"]["ok"]
    assert not checks["broker"]["ok"]
    assert checks["broker"]["code"] == "not_connected"
    assert checks["broker"]["text_ar"]


def test_an_adapter_that_cannot_write_to_its_store_is_not_ready_until_it_can(adapter: RunningAdapter) -> None:
    def told() -> tuple[bool, str | None]:
        checks = adapter.request("GET", "/readyz", token=None).problem(503)["checks"]
        [store] = [check for check in checks if check["name"] == "store"]
        return store["ok"], store["code"]

    with adapter.locked_store():
        eventually(lambda: told() == (False, "store_unavailable"), "the store is unavailable")
    eventually(lambda: told() == (True, None), "the store is there again")


def test_a_blocked_broker_is_told_from_one_that_is_away(
    adapter: RunningAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for the broker's alarm; the alarm itself is raised in ``tests/faults``."""
    alarmed = SimpleNamespace(state=SessionState.BLOCKED, last_error="low on disk")
    monkeypatch.setattr(adapter.adapter, "session", alarmed)
    checks = adapter.request("GET", "/readyz", token=None).problem(503)["checks"]
    [broker] = [check for check in checks if check["name"] == "broker"]
    assert (broker["ok"], broker["code"]) == (False, "broker_blocked")
    assert broker["detail"] == "blocked: low on disk"
    saw_code(broker["code"])


def test_metrics_are_served_as_prometheus_text(adapter: RunningAdapter) -> None:
    adapter.send()
    reply = adapter.request("GET", "/metrics", token=None)
    assert reply.headers["Content-Type"].startswith("text/plain")
    assert b"tarasul_" in reply.body


def test_an_unforeseen_failure_is_an_incident_without_a_traceback(adapter: RunningAdapter, adapter_log: Path) -> None:
    app = create_app(
        adapter.adapter.correspondence,
        token=adapter.token,
        readiness=_fail,  # type: ignore[arg-type] # it fails, which is the point
        metrics=_fail,  # type: ignore[arg-type] # as above
        largest_body=4096,
        version="0",
    )
    with serving(app) as server:
        for path in ("/readyz", "/metrics"):
            problem = server.request("GET", path).problem(500)
            assert problem["code"] == "internal"
            assert problem["incident"] in problem["detail_ar"]
            logged = adapter_log.read_text("utf-8")
            assert problem["incident"] in logged
            assert "secret subject" not in logged + json.dumps(problem)


@pytest.mark.parametrize("token", ["", "short", "with a space in it", "رمز طويل بما يكفي للدخول"])
def test_an_unusable_token_opens_nothing(adapter: RunningAdapter, token: str) -> None:
    with pytest.raises(Refused) as refused:
        create_app(
            adapter.adapter.correspondence,
            token=token,
            readiness=adapter.adapter.readiness,
            metrics=adapter.adapter.metrics.exposition,
            largest_body=4096,
            version="0",
        )
    assert refused.value.code is ErrorCode.API_TOKEN_UNUSABLE


def test_the_description_is_whole(adapter: RunningAdapter) -> None:
    document = adapter.request("GET", "/openapi.json", token=None).json()
    assert document["openapi"].startswith("3.1")
    for reference in set(_references(document)):
        name = reference.removeprefix("#/components/schemas/")
        assert name in document["components"]["schemas"], reference
    assert "HTTPValidationError" not in json.dumps(document)
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert ("security" in operation) == path.startswith("/v1")
            for status, response in operation["responses"].items():
                if int(status) >= 400:
                    assert "application/problem+json" in response["content"]
    body = document["paths"]["/v1/letters"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body == {"$ref": "#/components/schemas/LetterRequest"}


def test_the_titles_cover_every_status_of_the_catalogue() -> None:
    assert {text.status for text in CATALOGUE.values()} <= set(TITLES)
    assert all(ar and en for en, ar in TITLES.values())


def _references(value: object) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [found for item in value.values() for found in _references(item)]
    if isinstance(value, list):
        return [found for item in value for found in _references(item)]
    return []
