"""The management client: every trouble has a code, and no credential is ever said."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from broker.management import Credentials, Management, path
from schemas.errors import ErrorCode, Refused
from tests.broker.bed import Broker

SECRET = "correct-horse-battery"
SOMEBODY = Credentials("operator", SECRET)


def code_of(error: pytest.ExceptionInfo[Refused]) -> ErrorCode:
    """Its code, after looking that it gives away nothing."""
    said = "".join([str(error.value), repr(error.value), error.value.text("ar"), error.value.next_step("en")])
    assert SECRET not in said
    assert SECRET not in repr(error.value.__cause__)
    return error.value.code


@contextmanager
def answering(*answers: bytes, hang_up: bool = True) -> Iterator[str]:
    """A server that gives each connection the next of ``answers``, whatever it is asked."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        held: list[socket.socket] = []

        def serve() -> None:
            for answer in answers:
                connection, _ = listener.accept()
                connection.recv(65536)
                connection.sendall(answer)
                if hang_up:
                    connection.close()
                else:
                    held.append(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join()
        for connection in held:
            connection.close()


def http(status: str, body: bytes = b"") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def test_credentials_do_not_show_themselves(tmp_path: Path) -> None:
    assert SECRET not in repr(SOMEBODY)
    assert SECRET not in str(SOMEBODY)
    file = tmp_path / "management.json"
    file.write_text(json.dumps({"user": "operator", "password": SECRET}), "utf-8")
    assert Credentials.read(file) == SOMEBODY


@pytest.mark.parametrize("content", [None, "", "{", "[]", "{}", '{"user": "x"}', "\udce9"])
def test_credentials_that_cannot_be_read_are_a_matter_of_settings(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "management.json"
    if content is not None:
        file.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(Refused) as refused:
        Credentials.read(file)
    assert code_of(refused) is ErrorCode.SETTINGS_INVALID


@pytest.mark.parametrize(
    "url",
    [
        "http://broker.example:15672",
        "http://10.0.0.1:15672",
        "http://127.0.0.1.example:15672",
        "http://localhost@broker.example",
        "ftp://127.0.0.1",
        "127.0.0.1:15672",
        "http://",
        "",
    ],
)
def test_a_password_goes_over_plain_http_to_loopback_alone(url: str) -> None:
    with pytest.raises(Refused) as refused:
        Management(url, SOMEBODY)
    assert code_of(refused) is ErrorCode.SETTINGS_INVALID


def test_a_broker_that_is_not_there_is_unreachable() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with Management(f"http://127.0.0.1:{port}", SOMEBODY) as management, pytest.raises(Refused) as refused:
        management.version()
    assert code_of(refused) is ErrorCode.BROKER_UNREACHABLE


def test_https_does_not_talk_to_what_is_no_tls_server() -> None:
    with answering(b"plain") as url, Management(url.replace("http", "https"), SOMEBODY) as management:
        with pytest.raises(Refused) as refused:
            management.get("/api/overview")
        assert code_of(refused) is ErrorCode.BROKER_UNREACHABLE


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"", ErrorCode.BROKER_UNREACHABLE),
        (b"garbage\r\n\r\n", ErrorCode.BROKER_UNREACHABLE),
        (http("200 OK", b"<html>"), ErrorCode.BROKER_UNREACHABLE),
        (http("200 OK", b"\xff\xfe"), ErrorCode.BROKER_UNREACHABLE),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{", ErrorCode.BROKER_UNREACHABLE),
        (http("401 Unauthorized", b'{"error":"not_authorised"}'), ErrorCode.BROKER_REFUSED),
        (http("400 Bad Request", b'{"error":"bad_request"}'), ErrorCode.BROKER_REFUSED),
        (http("500 Internal Server Error"), ErrorCode.BROKER_REFUSED),
    ],
    ids=["nothing", "no HTTP", "a page", "no UTF-8", "half an answer", "401", "400", "500"],
)
def test_every_bad_answer_has_its_code(answer: bytes, code: ErrorCode) -> None:
    with answering(answer) as url, Management(url, SOMEBODY) as management:
        with pytest.raises(Refused) as refused:
            management.get("/api/overview")
        assert code_of(refused) is code


def test_a_broker_that_does_not_answer_is_given_up() -> None:
    with answering(b"", hang_up=False) as url, Management(url, SOMEBODY, seconds=0.2) as management:
        with pytest.raises(Refused) as refused:
            management.get("/api/overview")
        assert code_of(refused) is ErrorCode.BROKER_UNREACHABLE


def test_an_answer_past_the_limit_is_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("broker.management.LARGEST_ANSWER", 100)
    with answering(http("200 OK", b" " * 101)) as url, Management(url, SOMEBODY) as management:
        with pytest.raises(Refused) as refused:
            management.get("/api/overview")
        assert code_of(refused) is ErrorCode.BROKER_UNREACHABLE


def test_a_kept_connection_that_was_closed_meanwhile_is_opened_again() -> None:
    answer = http("200 OK", b'{"a": 1}')
    with answering(answer, answer) as url, Management(url, SOMEBODY) as management:
        assert [management.get("/api/x"), management.get("/api/x")] == [{"a": 1}, {"a": 1}]


def test_the_real_broker_refuses_a_wrong_password_and_bad_requests(broker: Broker) -> None:
    with Management(broker.node.management_url, SOMEBODY) as stranger, pytest.raises(Refused) as refused:
        stranger.get("/api/overview")
    assert code_of(refused) is ErrorCode.BROKER_REFUSED
    with pytest.raises(Refused) as refused:
        broker.management.put(path("policies", "tarasul", "broken"), {"pattern": "("})
    assert code_of(refused) is ErrorCode.BROKER_REFUSED


def test_what_is_not_there_is_none_and_its_deletion_no_error(broker: Broker) -> None:
    assert broker.management.get(path("queues", "tarasul", "no such/queue")) is None
    broker.management.delete(path("queues", "tarasul", "no such/queue"))


def test_the_version_is_the_brokers(broker: Broker) -> None:
    assert str(broker.management.version()) == broker.node.version
