"""`tarasul agency …` against the API of a real adapter: results, messages, exit codes."""

import contextlib
import http.server
import io
import json
import os
import pty
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agency_adapter.client import AdapterClient
from deploy.command import run
from schemas.errors import ErrorCode, Refused
from schemas.receipts import ReceiptEvent
from tests.support.running_adapter import ARABIC_BODY, ARABIC_SUBJECT, RunningAdapter, letter_request


@dataclass(frozen=True, slots=True)
class Ran:
    code: int
    out: str
    err: str

    def result(self) -> dict[str, Any]:
        """What stands on standard output, as one JSON object, with nothing on standard error."""
        assert self.err == ""
        found: dict[str, Any] = json.loads(self.out)
        return found

    def refused(self) -> dict[str, Any]:
        """What stands on standard error, as one JSON object, with nothing on standard output."""
        assert self.out == ""
        found: dict[str, Any] = json.loads(self.err)
        return found


class _Written(io.TextIOWrapper):
    """A standard stream that is kept."""

    def __init__(self, content: bytes = b"") -> None:
        super().__init__(io.BytesIO(content), encoding="utf-8", newline="\n")

    def text(self) -> str:
        self.flush()
        kept = self.buffer
        assert isinstance(kept, io.BytesIO)
        return kept.getvalue().decode()


def agency(*words: str, config: Path | None, standard_input: bytes = b"") -> Ran:
    """Run `tarasul agency <words>` within this process."""
    arguments = ["agency", *words, *(() if config is None else ("--config", str(config)))]
    out, err, had = _Written(), _Written(), sys.stdin
    sys.stdin = _Written(standard_input)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run(arguments)
    finally:
        sys.stdin = had
    return Ran(code, out.text(), err.text())


def tarasul(*words: str, standard_input: bytes = b"", **environment: str) -> Ran:
    """Run the installed program as a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", "from deploy.command import main; main()", *words],
        input=standard_input,
        capture_output=True,
        check=False,
        timeout=60,
        env={"PYTHONPATH": os.getcwd(), "PATH": os.environ["PATH"], **environment},  # noqa: PTH109 - a string is wanted
    )
    return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())


def test_sending_from_standard_input_prints_the_answer_of_the_api(adapter: RunningAdapter) -> None:
    request = json.dumps(letter_request(), ensure_ascii=False).encode()
    ran = agency("send", "-", "--json", config=adapter.config, standard_input=request)
    assert (ran.code, ran.err) == (0, "")
    shown = agency("show", ran.result()["id"], "--json", config=adapter.config).result()
    assert shown["letter"]["content"]["body"] == ARABIC_BODY


def test_sending_from_options(adapter: RunningAdapter, tmp_path: Path) -> None:
    body = tmp_path / "body.txt"
    body.write_text(ARABIC_BODY, "utf-8")
    ran = agency(
        "send", "--to", "MPW", "--cc", "SAB", "--subject", ARABIC_SUBJECT, "--body-file", str(body),
        "--urgency", "URGENT", "--idempotency-key", "options-1", "--json", config=adapter.config,
    )  # fmt: skip
    assert ran.code == 0
    shown = agency("show", ran.result()["id"], "--json", config=adapter.config).result()
    assert shown["urgency"] == "URGENT"
    assert [(each["recipient"], each["role"]) for each in shown["transmissions"]] == [
        ("MPW", "to"),
        ("SAB", "cc"),
    ]


def test_a_reply_quotes_the_letter_that_it_answers(adapter: RunningAdapter, tmp_path: Path) -> None:
    arrived = adapter.arrive()
    body = tmp_path / "body.txt"
    body.write_text(ARABIC_BODY, "utf-8")
    ran = agency("send", "--reply-to", arrived, "--body-file", str(body), "--json", config=adapter.config)
    assert ran.code == 0, ran.err
    incoming = adapter.get(f"/v1/letters/{arrived}").json()
    letter = adapter.get(f"/v1/letters/{ran.result()['id']}").json()["letter"]
    assert letter["thread_id"] == incoming["thread_id"]
    assert letter["references"][0]["outgoing_no"] == incoming["outgoing_no"]
    assert letter["references"][0]["relation"] == "REPLIES_TO"
    assert [recipient["agency"] for recipient in letter["recipients"]] == ["MPW"]


def test_waiting_ends_when_the_time_is_over(adapter: RunningAdapter) -> None:
    request = json.dumps(letter_request()).encode()
    ran = agency("send", "-", "--wait", "0.5", config=adapter.config, standard_input=request)
    assert ran.code == 3
    assert "MPW" in ran.err
    assert "[outcome_pending]" in ran.err
    assert "محفوظ للإرسال stored for sending" in ran.err
    ran = agency("send", "-", "--wait", "0", "--json", config=adapter.config, standard_input=request)
    assert ran.code == 3
    assert json.loads(ran.err)["code"] == "outcome_pending"
    assert json.loads(ran.out)["transmissions"][0]["state"] == "accepted", "accepted it is, whatever comes of it"


@pytest.mark.parametrize(("event", "code"), [(ReceiptEvent.DELIVERED, 0), (ReceiptEvent.NOT_DELIVERED, 1)])
def test_waiting_ends_with_the_outcome(adapter: RunningAdapter, event: ReceiptEvent, code: int) -> None:
    key = f"await {event}".replace(" ", "-")
    request = json.dumps(letter_request()).encode()
    letter_id = adapter.post("/v1/letters", request, {"Idempotency-Key": key}).json()["id"]
    adapter.answer(letter_id, event)
    ran = agency(
        "send", "-", "--idempotency-key", key, "--wait", "20", "--json", config=adapter.config, standard_input=request
    )
    assert ran.code == code
    assert [each["state"] for each in ran.result()["transmissions"]] == [event.value]


def test_lists_show_arabic_first_then_english(adapter: RunningAdapter) -> None:
    sent, arrived = adapter.send(), adapter.arrive()
    outbox = agency("outbox", "--limit", "1", config=adapter.config)
    assert outbox.code == 0
    assert sent in outbox.out
    assert ARABIC_SUBJECT in outbox.out
    assert "محفوظ للإرسال stored for sending" in outbox.out
    assert "--cursor" in outbox.err
    inbox = agency("inbox", "--limit", "1", config=adapter.config)
    assert arrived in inbox.out
    assert "مستلم received" in inbox.out


def test_registering_and_returning(adapter: RunningAdapter) -> None:
    arrived = adapter.arrive()
    registered = agency("register", arrived, "--by", "السجل العام", config=adapter.config)
    assert registered.code == 0
    assert f"MOF/IN/{adapter.year}/" in registered.out
    again = agency("register", arrived, "--by", "السجل العام", "--json", config=adapter.config)
    assert (again.code, again.out) == (1, "")
    assert json.loads(again.err)["code"] == "already_registered"
    returned = agency(
        "return", arrived, "--by", "السجل العام", "--reason", "duplicate", "--json", config=adapter.config
    )
    assert (returned.code, returned.result()["reason"]) == (0, "duplicate")
    timeline = agency("timeline", arrived, config=adapter.config)
    assert "قُيِّد registered" in timeline.out
    assert "أُعيد returned" in timeline.out


def test_a_letter_that_a_recipient_sent_back_is_shown_with_time_and_reason(adapter: RunningAdapter) -> None:
    sent = adapter.send(recipients=[{"agency": "MPW"}, {"agency": "SAB", "role": "cc"}])
    adapter.answer(sent, ReceiptEvent.DELIVERED)
    adapter.answer(sent, ReceiptEvent.RETURNED, reason="duplicate", returned_by="السجل العام")
    shown = agency("show", sent, config=adapter.config)
    assert "أُعيد returned:  1 / 2" in shown.out
    assert re.search(r"أُعيد returned \d{4}-\d\d-\d\d \d\d:\d\d .*الكتاب مكرر duplicate", shown.out)
    letter = agency("show", sent, "--json", config=adapter.config).result()
    assert letter["progress"] == {"recipients": 2, "delivered": 1, "registered": 0, "returned": 1, "overdue": None}
    assert [each["return_reason"] for each in letter["transmissions"]] == ["duplicate", None]


def test_showing_a_letter_and_its_signed_bytes(adapter: RunningAdapter) -> None:
    arrived = adapter.arrive()
    shown = agency("show", arrived, config=adapter.config)
    assert ARABIC_SUBJECT in shown.out
    assert ARABIC_BODY.splitlines()[0] in shown.out
    jws = agency("show", arrived, "--jws", config=adapter.config)
    assert jws.out.encode() == adapter.get(f"/v1/letters/{arrived}/jws").body


def test_what_another_agency_wrote_does_not_speak_to_the_terminal(adapter: RunningAdapter) -> None:
    hostile = "طلب\x1b]0;owned\x07\x1b[2J\u202e\r\n VERIFIED\u2069\x85"
    content = {"subject": hostile, "body": f"سطر\r\nآخر\u200c{hostile}", "fields": {}}
    arrived = adapter.arrive(claims={"content": content, f"x{hostile}": 1})
    sent = adapter.send()
    adapter.answer(sent, ReceiptEvent.REGISTERED, incoming_no="7", registered_by=hostile, note=hostile)
    shown = agency("show", arrived, config=adapter.config)
    inbox = agency("inbox", config=adapter.config)
    timeline = agency("timeline", sent, config=adapter.config)
    for ran in (shown, inbox, timeline):
        assert ran.code == 0
        assert "طلب\ufffd]0;owned" in ran.out
        assert not {"\x1b", "\x07", "\r", "\u202e", "\u2069", "\x85"} & set(ran.out)
    assert not [line for line in inbox.out.splitlines() if line.startswith(" VERIFIED")]
    assert "\nسطر\nآخر\u200cطلب" in shown.out, "the lines and marks of a body are its own"


def on_a_terminal(columns: int, *words: str) -> str:
    """What the installed program writes to a terminal of that width, without colours and isolates."""
    main_end, terminal = pty.openpty()
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "deploy.command", *words],
            stdin=subprocess.DEVNULL,
            stdout=terminal,
            stderr=terminal,
            env=os.environ | {"COLUMNS": str(columns), "TERM": "xterm"},
        )
        os.close(terminal)
        shown = b""
        with contextlib.suppress(OSError):  # so Linux says that the last writer has gone
            while part := os.read(main_end, 65536):
                shown += part
        assert process.wait() == 0
    finally:
        os.close(main_end)
    return re.sub("\x1b\\[[0-9;]*m|[\u2068\u2069]", "", shown.decode())


def test_a_narrow_terminal_shows_everything_that_a_wide_one_does(adapter: RunningAdapter) -> None:
    arrived, sent = adapter.arrive(), adapter.send()
    adapter.answer(sent, ReceiptEvent.NOT_DELIVERED)
    adapter.forge(publisher="SAB")
    config = ("--config", str(adapter.config))
    for words, needed in (
        (("inbox", "--limit", "1"), (arrived, ARABIC_SUBJECT, "مستلم received")),
        (("outbox", "--limit", "1"), (sent, ARABIC_SUBJECT, "تعذّر تسليمه not delivered")),
        (("show", sent), ("arrived after the last moment of delivery", "تعذّر تسليمه not delivered")),
        (("timeline", sent), ("arrived after the last moment of delivery",)),
        (("quarantine", "--limit", "1"), ("the message is no well-formed signed document", "SAB")),
    ):
        for columns in (200, 80, 40):
            shown = on_a_terminal(columns, "agency", *words, *config)
            for text in needed:
                assert text in shown, (columns, shown)


def test_the_other_listings(adapter: RunningAdapter) -> None:
    adapter.forge(publisher="SAB")
    assert "SAB" in agency("quarantine", "--limit", "1", config=adapter.config).out
    assert agency("quarantine", "--limit", "1", "--json", config=adapter.config).result()["items"]
    directory = agency("directory", config=adapter.config)
    assert "MPW" in directory.out
    assert "مفعّلة active" in directory.out
    assert agency("directory", "--json", config=adapter.config).result()["agencies"]
    assert agency("numbers", "outgoing", config=adapter.config).code == 0
    assert agency("numbers", "outgoing", "--json", config=adapter.config).result()["gaps"] == []
    assert agency("timeline", adapter.send(), "--json", config=adapter.config).result()["entries"]
    assert agency("outbox", "--json", config=adapter.config).result()["items"]
    assert agency("inbox", "--state", "received", "--json", config=adapter.config).code == 0


@pytest.mark.parametrize(
    ("words", "path"),
    [
        (("outbox", "--limit", "2"), "/v1/outbox?limit=2"),
        (("inbox", "--limit", "2", "--state", "received"), "/v1/inbox?limit=2&state=received"),
        (("show", "{id}"), "/v1/letters/{id}"),
        (("timeline", "{id}"), "/v1/letters/{id}/timeline"),
        (("quarantine", "--limit", "1"), "/v1/quarantine?limit=1"),
        (("incidents", "--limit", "1"), "/v1/incidents?limit=1"),
        (("directory",), "/v1/directory"),
        (("numbers", "incoming", "--year", "2020"), "/v1/numbers/incoming/gaps?year=2020"),
    ],
)
def test_with_json_a_command_prints_the_answer_of_the_api_and_nothing_else(
    adapter: RunningAdapter, words: tuple[str, ...], path: str
) -> None:
    letter_id = adapter.send()
    ran = agency(*(word.format(id=letter_id) for word in words), "--json", config=adapter.config)
    assert (ran.code, ran.result()) == (0, adapter.get(path.format(id=letter_id)).json())


def test_the_status_of_an_adapter_without_a_broker_is_not_ready(adapter: RunningAdapter) -> None:
    status = agency("status", config=adapter.config)
    assert status.code == 3
    assert "الوسيط broker" in status.out
    result = agency("status", "--json", config=adapter.config)
    assert (result.code, result.result()["ready"]) == (3, False)


def test_a_refusal_is_shown_in_arabic_then_english_with_code_and_place(adapter: RunningAdapter) -> None:
    request = json.dumps(letter_request(surprise=1)).encode()
    ran = agency("send", "-", config=adapter.config, standard_input=request)
    assert (ran.code, ran.out) == (1, "")
    lines = ran.err.splitlines()
    assert len(lines) == 4
    assert "(/surprise) [unknown_member]" in lines[2]
    ran = agency("send", "-", "--json", config=adapter.config, standard_input=request)
    problem = json.loads(ran.err)
    assert (ran.code, problem["code"], problem["pointer"]) == (1, "unknown_member", "/surprise")


@pytest.mark.parametrize(
    "words",
    [
        ("send",),
        ("send", "-", "--to", "MPW"),
        ("show",),
        ("lose",),
        ("return", "x", "--by", "y"),
        ("return", "x", "--by", "y", "--reason", "mood"),
        ("outbox", "--state", "lost"),
        ("inbox", "--state", "lost"),
        ("inbox", "--limit", "0"),
        ("numbers", "sideways"),
        ("numbers", "incoming", "--year", "26"),
        ("--nothing",),
    ],
)
def test_wrong_use_is_exit_2(adapter: RunningAdapter, words: tuple[str, ...]) -> None:
    config = None if words[0] in {"lose", "--nothing"} else adapter.config
    ran = agency(*words, config=config)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("send", "-", "--idempotency-key", "مفتاح"), "idempotency_key_invalid"),
        (("send", "-", "--idempotency-key", "a\nb"), "idempotency_key_invalid"),
        (("send", "-", "--idempotency-key", ""), "idempotency_key_invalid"),
        (("send", "--to", "MPW", "--subject", "not UTF-8 \udcff"), "json_malformed"),
        (("send", "--to", "MPW", "--fields", "[" * 100_000), "payload_too_deep"),
        (("send", "--to", "MPW", "--fields", '{"category": 1, "category": 2}'), "payload_member_duplicate"),
        (("send", "--to", "MPW", "--fields", "[]"), "payload_not_object"),
        (("show", "\udcff"), "letter_not_found"),
        (("inbox", "--cursor", "\udcff"), "cursor_invalid"),
    ],
)
def test_an_odd_word_is_refused_with_its_code(adapter: RunningAdapter, words: tuple[str, ...], code: str) -> None:
    request = json.dumps(letter_request()).encode()
    ran = agency(*words, "--json", config=adapter.config, standard_input=request)
    assert (ran.code, ran.refused()["code"]) == (1, code)


def test_standard_input_that_is_closed_is_unreadable(adapter: RunningAdapter) -> None:
    command = [sys.executable, "-c", "import sys; sys.stdin = None; from deploy.command import main; main()"]
    words = ["agency", "send", "-", "--json", "--config", str(adapter.config)]
    done = subprocess.run([*command, *words], capture_output=True, check=False, timeout=60)
    assert (done.returncode, json.loads(done.stderr)["code"]) == (1, "file_unreadable")


def test_an_adapter_that_is_not_there_is_exit_3(adapter: RunningAdapter, tmp_path: Path) -> None:
    config = tmp_path / "adapter.toml"
    config.write_text(adapter.config.read_text("utf-8").replace(f"port = {adapter.port}", "port = 1"), "utf-8")
    (tmp_path / "token").write_text(adapter.token, "ascii")
    ran = agency("outbox", "--json", config=config)
    assert (ran.code, json.loads(ran.err)["code"]) == (3, "not_reachable")
    request = json.dumps(letter_request()).encode()
    ran = agency("send", "-", "--idempotency-key", "once", config=config, standard_input=request)
    assert ran.code == 3
    assert "--idempotency-key once" in ran.err
    ran = agency("send", "-", "--json", config=config, standard_input=request)
    assert ran.code == 3
    assert ran.refused()["idempotency_key"], "made up here, it is known to nobody else"


def test_settings_and_files_that_cannot_be_read_are_exit_1(adapter: RunningAdapter, tmp_path: Path) -> None:
    ran = agency("outbox", "--json", config=tmp_path / "none.toml")
    assert (ran.code, json.loads(ran.err)["code"]) == (1, "settings_invalid")
    ran = agency("run", config=tmp_path / "none.toml")
    assert (ran.code, ran.out) == (1, "")
    ran = agency("send", str(tmp_path / "none.json"), "--json", config=adapter.config)
    assert (ran.code, json.loads(ran.err)["code"]) == (1, "file_unreadable")
    config = tmp_path / "adapter.toml"
    config.write_bytes(adapter.config.read_bytes())
    ran = agency("outbox", "--json", config=config)
    assert json.loads(ran.err)["code"] == "file_unreadable"
    for no_token in (b"one line\nand another", b"\xff\xfe"):
        (tmp_path / "token").write_bytes(no_token)
        assert agency("outbox", "--json", config=config).refused()["code"] == "file_unreadable"


def test_the_settings_file_is_taken_from_the_environment(adapter: RunningAdapter) -> None:
    ran = tarasul("agency", "directory", "--json", TARASUL_CONFIG=str(adapter.config))
    assert (ran.code, ran.result()["version"]) == (0, adapter.get("/v1/directory").json()["version"])


@contextlib.contextmanager
def stranger(
    adapter: RunningAdapter, folder: Path, status: int, media_type: str, body: bytes, *, missing: int = 0
) -> Iterator[Path]:
    """Settings of an adapter in whose place another program gives one answer, and then goes.

    Of the answer's announced length ``missing`` bytes do not come.
    """

    class Stranger(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Type", media_type)
            self.send_header("Content-Length", str(len(body) + missing))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.do_GET()
            self.server.socket.close()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    config = folder / "adapter.toml"
    (folder / "token").write_text(adapter.token, "ascii")
    with http.server.HTTPServer(("127.0.0.1", 0), Stranger) as server:
        text = adapter.config.read_text("utf-8").replace(f"port = {adapter.port}", f"port = {server.server_port}")
        config.write_text(text, "utf-8")
        answering = threading.Thread(target=server.handle_request)
        answering.start()
        yield config
        answering.join()


@pytest.mark.parametrize(
    ("status", "media_type", "body"),
    [
        (200, "application/json", b"[]"),
        (200, "text/html", b"<html>"),
        (500, "text/plain", b"Internal Server Error"),
        (422, "application/problem+json", b"not even JSON"),
        (200, "application/json", b"[" * 100_000),
    ],
)
def test_what_is_no_adapters_answer_is_exit_3(
    adapter: RunningAdapter, tmp_path: Path, status: int, media_type: str, body: bytes
) -> None:
    with stranger(adapter, tmp_path, status, media_type, body) as config:
        ran = agency("outbox", "--json", config=config)
    assert (ran.code, ran.refused()["code"]) == (3, "answer_unreadable")


def test_an_answer_that_breaks_off_is_none(adapter: RunningAdapter, tmp_path: Path) -> None:
    with stranger(adapter, tmp_path, 200, "application/jose", b"eyJhbGciOi", missing=7) as config:
        ran = agency("show", "any", "--jws", "--json", config=config)
    assert (ran.code, ran.refused()["code"]) == (3, "answer_unreadable")


@pytest.mark.parametrize("as_json", [False, True])
def test_what_was_accepted_is_told_though_the_adapter_goes_while_it_is_waited_for(
    adapter: RunningAdapter, tmp_path: Path, as_json: bool
) -> None:
    accepted = {"id": "01a21018-0000-7000-8000-000000000000", "outgoing_no": "MOF/2026/000001", "digest": "0" * 64}
    words = ("send", "-", "--wait", "10", *(["--json"] if as_json else []))
    with stranger(adapter, tmp_path, 202, "application/json", json.dumps(accepted).encode()) as config:
        ran = agency(*words, config=config, standard_input=b"{}")
    assert ran.code == 3
    assert "not_reachable" in ran.err
    if as_json:
        assert json.loads(ran.out) == accepted
    else:
        assert accepted["id"] in ran.out


def test_a_refusal_of_a_later_release_is_shown_in_its_own_words(adapter: RunningAdapter, tmp_path: Path) -> None:
    problem = {"code": "stamp_missing", "detail": "No stamp.", "detail_ar": "لا ختم.", "next_step": "Stamp it."}
    body = json.dumps(problem).encode()
    with stranger(adapter, tmp_path, 422, "application/problem+json", body) as config:
        ran = agency("outbox", config=config)
    assert (ran.code, ran.out) == (1, "")
    assert "لا ختم." in ran.err
    assert "No stamp." in ran.err
    assert "Stamp it." in ran.err
    with stranger(adapter, tmp_path, 422, "application/problem+json", body) as config:
        assert agency("outbox", "--json", config=config).refused() == problem


def test_a_wrong_token_is_refused(adapter: RunningAdapter) -> None:
    client = AdapterClient("127.0.0.1", adapter.port, "not-the-token-of-it")
    with pytest.raises(Refused) as refused:
        client.get("/v1/outbox")
    assert refused.value.code is ErrorCode.UNAUTHORISED


def test_output_is_utf_8_wherever_it_goes(adapter: RunningAdapter) -> None:
    letter_id = adapter.send()
    for words in (("show", letter_id, "--json"), ("show", letter_id)):
        ran = tarasul("agency", *words, "--config", str(adapter.config), LC_ALL="C", PYTHONUTF8="0")
        assert (ran.code, ARABIC_SUBJECT in ran.out, ran.err) == (0, True, "")


def test_the_installed_program_refuses_on_standard_error_with_its_code(adapter: RunningAdapter) -> None:
    request = json.dumps(letter_request(surprise=1)).encode()
    ran = tarasul("agency", "send", "-", "--json", "--config", str(adapter.config), standard_input=request)
    assert (ran.code, ran.refused()["code"]) == (1, "unknown_member")
    assert tarasul("agency", "lose").code == 2
