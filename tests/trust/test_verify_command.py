"""`tarasul verify`: what it shows, what it reads, how it ends, and what it needs."""

import contextlib
import json
import os
import pty
import ssl
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from typer.testing import CliRunner

from schemas.directory import KeyPurpose
from schemas.errors import ErrorCode
from schemas.receipts import ReceiptEvent
from tests.trust.forging import (
    LETTER_ID,
    digest_of,
    letter,
    letter_claims,
    malleated,
    signature_replaced,
)
from tests.trust.made_chains import damaged
from tests.trust.verifying import CHECKS, Case, assert_fails, dead_letter, receipt
from trust.command import verify_app
from trust.token import LIMITS, TokenType


def test_a_genuine_letter_is_verified_and_shown(case: Case) -> None:
    raw = letter(case.authority)

    told = case.by_json(raw)

    document = told.document
    assert (told.code, document["verified"], document["kind"]) == (0, True, "letter")
    assert [(check["name"], check["ok"]) for check in document["checks"]] == [(name, True) for name in CHECKS]
    claims = letter_claims(case.authority)
    shown = document["letter"]
    for member in ("id", "outgoing_no", "type", "issued_at", "hijri_date", "expires_at"):
        assert shown[member] == claims[member]
    assert shown["subject"] == claims["content"]["subject"]
    assert shown["hijri_printed"].endswith(" هـ")
    assert shown["sender"] == {
        "agency": "MPW",
        "name_ar": "وزارة الأشغال العامة",
        "name_en": "Ministry of Public Works",
    }
    [recipient] = shown["recipients"]
    assert (recipient["agency"], recipient["role"], recipient["name_ar"]) == ("MOF", "to", "وزارة المالية")
    assert shown["digest"] == digest_of(raw)


def test_each_check_says_what_it_rests_on(case: Case) -> None:
    document = case.by_json(letter(case.authority)).document

    said = {check["name"]: check["detail"] for check in document["checks"]}
    key = case.authority.file_key("MPW")
    fingerprint = case.authority.root.certificate.fingerprint(SHA256()).hex(":").upper()
    assert fingerprint in said["anchor"]
    assert "CN=Tarasul Root CA" in said["anchor"]
    assert "version 1" in said["directory"]
    assert "current" in said["directory"]
    for part in (key.kid, "MPW", "وزارة الأشغال العامة", "Ministry of Public Works", "seal", "not revoked"):
        assert part in said["signer"]
    assert key.certificate.not_valid_after_utc.isoformat() in said["signer"]


def test_a_person_reads_arabic_then_english_line_by_line(case: Case) -> None:
    told = case.verify(letter(case.authority))

    lines = told.out.splitlines()
    assert (told.code, told.err) == (0, "")
    assert lines[0].startswith("✓ الوثيقة: كتاب")
    assert lines[1].startswith("  document: letter")
    assert len([line for line in lines if line.startswith("✓")]) == len(CHECKS) + 1
    assert "  VERIFIED" in lines
    assert "الموضوع · subject: طلب اعتماد الميزانية التكميلية" in lines


def test_a_person_reads_which_check_failed_and_what_to_do(case: Case) -> None:
    told = case.verify(signature_replaced(letter(case.authority), b"\1" * 64))

    lines = told.out.splitlines()
    assert told.code == 1
    assert next(line for line in lines if line.startswith("✗")).endswith("[signature_invalid]")
    assert lines[-1] == "  NOT VERIFIED"
    assert "VERIFIED" not in lines
    assert "subject" not in told.out
    assert "Do not rely on the document" in told.err
    assert "لا تعتمد على الوثيقة" in told.err


@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n"])
def test_a_letter_is_read_from_standard_input_with_or_without_a_line_end(case: Case, ending: bytes) -> None:
    arguments = ["-", "--anchor", str(case.authority.root_file), "--directory", str(case.directory_file), "--json"]

    result = CliRunner().invoke(verify_app, arguments, input=letter(case.authority) + ending)

    assert result.exit_code == 0
    assert json.loads(result.stdout)["verified"] is True


def test_the_other_signature_verifies_with_the_same_digest(case: Case) -> None:
    raw = letter(case.authority)

    first, second = case.by_json(raw), case.by_json(malleated(raw))

    assert second.code == 0
    assert first.document["letter"]["digest"] == second.document["letter"]["digest"]


def test_a_recipients_receipt_is_verified_and_shown(case: Case) -> None:
    told = case.by_json(receipt(case.authority, "MOF"))

    assert (told.code, told.document["kind"]) == (0, "receipt")
    shown = told.document["receipt"]
    assert (shown["event"], shown["event_name"]["ar"]) == ("registered", "قُيِّد")
    assert (shown["issuer"]["agency"], shown["audience"]["agency"]) == ("MOF", "MPW")
    assert (shown["letter"], shown["letter_digest"], shown["incoming_no"]) == (LETTER_ID, "ab" * 32, "و/55")
    assert datetime.fromisoformat(shown["occurred_at"]) == case.authority.now


def test_the_authoritys_receipt_is_verified_by_its_key_for_receipts(case: Case) -> None:
    events = {ReceiptEvent.NOT_DELIVERED.uri: {"reason": "expired"}}
    told = case.by_json(receipt(case.authority, "TRSL", KeyPurpose.RECEIPTS, iss="TRSL", events=events))

    assert told.code == 0
    assert told.document["receipt"]["reason"] == "expired"


def test_a_dead_letter_statement_is_verified_and_shown(case: Case) -> None:
    told = case.by_json(dead_letter(case.authority, "MOF"))

    assert (told.code, told.document["kind"]) == (0, "dead_letter")
    shown = told.document["dead_letter"]
    assert (shown["message_digest"], shown["stage"], shown["attempts"]) == ("cd" * 32, "content", 3)
    assert shown["given_up_at"] == "2023-11-14T22:14:20+00:00"


def test_a_letter_with_unknown_members_at_every_level_is_verified(case: Case) -> None:
    claims = letter_claims(case.authority)
    claims["later"] = claims["sender"]["later"] = claims["content"]["later"] = claims["recipients"][0]["later"] = [1]

    assert case.by_json(letter(case.authority, **claims)).code == 0


def test_what_cannot_be_read_is_refused_by_its_path(case: Case, tmp_path: Path) -> None:
    raw, missing = letter(case.authority), str(tmp_path / "none")

    for told in (
        case.by_json(missing),
        case.by_json(str(tmp_path)),
        case.by_json(raw, anchor=missing),
        case.by_json(raw, directory=missing),
    ):
        assert_fails(told, "files", ErrorCode.FILE_UNREADABLE)
    assert missing in case.by_json(missing).document["checks"][0]["detail"]


@pytest.mark.parametrize(
    "content", [b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_an_anchor_that_is_no_certificate_is_refused(case: Case, content: bytes) -> None:
    file = case.folder / "root.pem"
    file.write_bytes(content)

    assert_fails(case.by_json(letter(case.authority), anchor=str(file)), "files", ErrorCode.CERTIFICATE_UNREADABLE)


def test_an_anchor_of_an_unknown_version_is_refused(case: Case) -> None:
    file = case.folder / "root.pem"
    file.write_text(ssl.DER_cert_to_PEM_cert(damaged(case.authority.root.certificate, "version")))

    assert_fails(case.by_json(letter(case.authority), anchor=str(file)), "files", ErrorCode.CERTIFICATE_UNREADABLE)


def test_a_file_past_the_limit_is_refused_without_being_read_whole(case: Case) -> None:
    # A file without an end: it can only be refused by one who stops reading.
    assert_fails(case.by_json("/dev/zero"), "files", ErrorCode.TOKEN_TOO_LARGE)
    assert_fails(case.by_json(letter(case.authority), directory="/dev/zero"), "files", ErrorCode.TOKEN_TOO_LARGE)
    assert_fails(case.by_json(letter(case.authority), anchor="/dev/zero"), "files", ErrorCode.CERTIFICATE_UNREADABLE)


def test_a_file_at_the_limit_is_read_and_one_byte_more_refused(case: Case) -> None:
    limit = LIMITS[TokenType.LETTER].token

    assert_fails(case.by_json(b"x" * limit + b"\r\n"), "token", ErrorCode.TOKEN_MALFORMED)
    assert_fails(case.by_json(b"x" * (limit + 1)), "files", ErrorCode.TOKEN_TOO_LARGE)
    assert_fails(case.by_json(b"x" * limit + b"\r\ny"), "files", ErrorCode.TOKEN_TOO_LARGE)


@pytest.mark.parametrize(
    "arguments", [[], ["x.jws"], ["x.jws", "--anchor", "r"], ["x.jws", "--anchor", "r", "--directory", "d", "--nope"]]
)
def test_wrong_use_says_so_and_exits_with_two(arguments: Sequence[str]) -> None:
    result = CliRunner().invoke(verify_app, list(arguments))

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr


PROGRAM = """
import sys
from deploy.command import run
code = run(sys.argv[1:])
sys.stdout.flush()
named = ("aio_pika", "aiormq", "sqlalchemy", "fastapi", "uvicorn", "structlog", "broker", "agency_adapter", "gateway")
print("\\n".join(name for name in named if name in sys.modules), file=sys.stderr, end="")
raise SystemExit(code)
"""


@pytest.mark.parametrize("good", [True, False])
def test_the_program_needs_no_broker_store_or_server_and_writes_utf8_anywhere(case: Case, good: bool) -> None:
    raw = letter(case.authority)
    file = case.folder / "letter.jws"
    file.write_bytes(raw if good else raw[:-1])
    arguments = [str(file), "--anchor", str(case.authority.root_file), "--directory", str(case.directory_file)]

    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "verify", *arguments, "--json"],
        capture_output=True,
        check=False,
        env={"PYTHONPATH": str(Path.cwd()), "PATH": ""},
    )

    assert done.stderr.decode() == ""
    assert done.returncode == (0 if good else 1)
    assert json.loads(done.stdout)["verified"] is good


def test_the_command_itself_writes_arabic_under_a_locale_of_ascii(case: Case) -> None:
    file = case.folder / "letter.jws"
    file.write_bytes(letter(case.authority))

    done = subprocess.run(
        [
            sys.executable, "-m", "deploy.command", "verify", str(file),
            "--anchor", str(case.authority.root_file), "--directory", str(case.directory_file),
        ],
        capture_output=True,
        check=False,
        env={"PYTHONPATH": str(Path.cwd()), "PATH": "", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, b"")
    assert "✓ الوثيقة موثوقة" in done.stdout.decode()


def test_on_a_terminal_every_inserted_value_stands_in_an_isolate(case: Case) -> None:
    file = case.folder / "letter.jws"
    file.write_bytes(letter(case.authority))
    terminal, its_end = pty.openpty()

    with subprocess.Popen(
        [
            sys.executable, "-m", "deploy.command", "verify", str(file),
            "--anchor", str(case.authority.root_file), "--directory", str(case.directory_file),
        ],
        stdout=its_end,
        env={"PYTHONPATH": str(Path.cwd()), "PATH": ""},
    ) as running:  # fmt: skip
        os.close(its_end)
        shown = b"".join(_read_to_the_end(terminal)).decode()
        os.close(terminal)

    assert running.returncode == 0
    assert "\u2068وزارة الأشغال العامة\u2069" in shown
    for line in shown.splitlines():
        assert line.count("\u2068") == line.count("\u2069")


def _read_to_the_end(terminal: int) -> Iterator[bytes]:
    # Linux ends the reading of a terminal whose other end was closed with EIO.
    with contextlib.suppress(OSError):
        while part := os.read(terminal, 4096):
            yield part
