"""`tarasul verify`: offline, check by check, never a traceback, and nothing claimed that was not checked."""

import contextlib
import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from schemas.directory import KeyPurpose
from schemas.errors import ErrorCode
from schemas.receipts import ReceiptEvent, build_receipt
from schemas.statements import build_dead_letter
from tests.support.authority import MadeAuthority
from tests.trust.forging import (
    LETTER_ID,
    assembled,
    changed_payload,
    digest_of,
    entry_of,
    header_of,
    letter,
    letter_claims,
    malleated,
    private_key,
    signature_replaced,
    written,
)
from trust.command import verify_app
from trust.offline import examine
from trust.token import LIMITS, TokenType

CHECKS = ["token", "anchor", "directory", "signer", "signature", "validity", "payload", "sender"]
DAY = timedelta(days=1)
RECEIPT_ID = "01936c1e-0000-7000-8000-0000000000aa"


@dataclass(frozen=True)
class Told:
    """What one run said."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found


@dataclass(frozen=True)
class Case:
    """A folder with a root and a directory, in which documents are verified."""

    authority: MadeAuthority
    folder: Path
    directory_file: Path

    def verify(self, raw: bytes | str, *options: str, **given: str) -> Told:
        """Run the command on the bytes ``raw``, or on the file that the text ``raw`` names."""
        file = raw if isinstance(raw, str) else str(self.folder / "document.jws")
        if isinstance(raw, bytes):
            Path(file).write_bytes(raw)
        paths = {"anchor": str(self.authority.root_file), "directory": str(self.directory_file)} | given
        arguments = [file, *(part for name, path in paths.items() for part in (f"--{name}", path)), *options]
        result = CliRunner().invoke(verify_app, arguments)
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return Told(result.exit_code, result.stdout, result.stderr)

    def by_json(self, raw: bytes | str, *options: str, **given: str) -> Told:
        return self.verify(raw, "--json", *options, **given)


@pytest.fixture
def case(authority: MadeAuthority, directory_file: Path, tmp_path: Path) -> Case:
    return Case(authority, tmp_path, directory_file)


def assert_fails(told: Told, name: str, code: ErrorCode) -> None:
    """The check ``name`` failed with ``code``, those before it held, and nothing later is claimed."""
    document = told.document
    checks = document["checks"]
    assert told.code == 1
    assert document["verified"] is False
    assert (checks[-1]["name"], checks[-1]["ok"], checks[-1]["code"]) == (name, False, code.value)
    assert all(check["ok"] and "code" not in check for check in checks[:-1])
    assert [check["name"] for check in checks] == (["files"] if name == "files" else CHECKS[: CHECKS.index(name) + 1])
    assert all(check["detail"] and check["detail_ar"] for check in checks)
    assert not {"letter", "receipt", "dead_letter"} & set(document)


def receipt(authority: MadeAuthority, code: str, purpose: KeyPurpose = KeyPurpose.SEAL, **changes: object) -> bytes:
    claims = build_receipt(
        event=ReceiptEvent.REGISTERED,
        issuer="MOF",
        audience="MPW",
        jti=RECEIPT_ID,
        issued_at=int(authority.now.timestamp()),
        occurred_at=int(authority.now.timestamp()),
        thread_id=LETTER_ID,
        letter_id=LETTER_ID,
        recipient="MOF",
        digest="ab" * 32,
        details={"incoming_no": "و/55", "clerk": "registry"},
    )
    header = header_of(authority, code, purpose, TokenType.RECEIPT)
    return assembled(header, written(claims | changes), private_key(authority, code, purpose))


def dead_letter(authority: MadeAuthority, code: str, **changes: object) -> bytes:
    claims = build_dead_letter(
        agency="MOF",
        recipient="MOF",
        digest="cd" * 32,
        reason="schema_invalid",
        stage="content",
        attempts=3,
        exchange="from.MPW",
        routing_key="MOF.routine",
        received_at=1_700_000_000,
        given_up_at=1_700_000_060,
    )
    header = header_of(authority, code, typ=TokenType.DEAD_LETTER)
    return assembled(header, written(claims | changes), private_key(authority, code))


# What is verified


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


# What is refused, by the first check that fails


def test_a_document_that_is_none_of_the_three_fails_at_the_token(case: Case) -> None:
    incident = assembled(header_of(case.authority, typ=TokenType.INCIDENT), b"{}", private_key(case.authority))

    assert_fails(case.by_json(incident), "token", ErrorCode.TOKEN_TYPE_WRONG)
    assert_fails(case.by_json(case.directory_file.read_bytes()), "token", ErrorCode.TOKEN_TYPE_WRONG)
    assert_fails(case.by_json(b""), "token", ErrorCode.TOKEN_MALFORMED)
    unsecured = assembled(header_of(case.authority, alg="none"), b"{}", private_key(case.authority))
    assert_fails(case.by_json(unsecured), "token", ErrorCode.ALGORITHM_NOT_ALLOWED)


def test_an_issuing_authority_is_no_anchor(case: Case) -> None:
    issuing = str(case.authority.folder / "authority" / "issuing" / "issuing.pem")

    assert_fails(case.by_json(letter(case.authority), anchor=issuing), "anchor", ErrorCode.CHAIN_INVALID)


def test_a_directory_under_another_root_fails(case: Case, tmp_path: Path) -> None:
    stranger = MadeAuthority(tmp_path / "stranger", agencies=())

    told = case.by_json(letter(case.authority), anchor=str(stranger.root_file))

    assert_fails(told, "directory", ErrorCode.CHAIN_INVALID)


def test_a_letter_in_the_directorys_place_fails(case: Case, tmp_path: Path) -> None:
    other = tmp_path / "other.jws"
    other.write_bytes(letter(case.authority))

    assert_fails(case.by_json(letter(case.authority), directory=str(other)), "directory", ErrorCode.TOKEN_TYPE_WRONG)


def test_a_key_that_the_directory_does_not_know_or_has_for_another_purpose_fails_at_the_signer(case: Case) -> None:
    unknown = assembled(header_of(case.authority, kid="MPW.seal.x"), b"{}", private_key(case.authority))
    transport = KeyPurpose.TRANSPORT
    other = assembled(
        header_of(case.authority, purpose=transport), b"{}", private_key(case.authority, purpose=transport)
    )

    assert_fails(case.by_json(unknown), "signer", ErrorCode.KEY_UNKNOWN)
    assert_fails(case.by_json(other), "signer", ErrorCode.KEY_WRONG_PURPOSE)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, ErrorCode.SIGNATURE_INVALID),
        ({"alg": "Ed25519"}, ErrorCode.ALGORITHM_MISMATCH),
        ({"x5t#S256": "A" * 43}, ErrorCode.CERTIFICATE_DIGEST_MISMATCH),
    ],
)
def test_a_forged_letter_fails_at_the_signature(case: Case, changes: dict[str, Any], code: ErrorCode) -> None:
    claims = written(letter_claims(case.authority))
    forged = assembled(header_of(case.authority, **changes), claims, private_key(case.authority, "MOF"))

    assert_fails(case.by_json(forged), "signature", code)


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"not_after": -31 * DAY}, ErrorCode.KEY_EXPIRED),
        ({"not_before": DAY}, ErrorCode.KEY_NOT_YET_VALID),
        ({"revoked_at": -DAY, "revocation": "ordinary"}, ErrorCode.KEY_REVOKED),
        ({"revoked_at": DAY, "revocation": "compromised"}, ErrorCode.KEY_COMPROMISED),
    ],
)
async def test_a_key_that_does_not_count_fails_at_its_validity(
    case: Case, members: dict[str, Any], code: ErrorCode
) -> None:
    payload = changed_payload(case.authority)
    entry = entry_of(payload, case.authority.file_key("MPW").kid)
    for name, value in members.items():
        entry[name] = (case.authority.now + value).isoformat() if isinstance(value, timedelta) else value
    file = case.folder / "directory.jws"
    file.write_bytes(await case.authority.sign(payload))

    told = case.by_json(letter(case.authority), directory=str(file))

    assert_fails(told, "validity", code)
    [signer] = [check["detail"] for check in told.document["checks"] if check["name"] == "signer"]
    assert ("not revoked" in signer) == ("revoked_at" not in members)


async def test_a_key_in_its_grace_counts_and_the_check_says_so(case: Case) -> None:
    payload = changed_payload(case.authority)
    entry = entry_of(payload, case.authority.file_key("MPW").kid)
    entry["not_after"] = (case.authority.now - DAY).isoformat()
    file = case.folder / "directory.jws"
    file.write_bytes(await case.authority.sign(payload))

    told = case.by_json(letter(case.authority), directory=str(file))

    assert told.code == 0
    [validity] = [check["detail"] for check in told.document["checks"] if check["name"] == "validity"]
    assert "ran out" in validity


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b'{"id":1,"id":2}', ErrorCode.PAYLOAD_MEMBER_DUPLICATE),
        (b'{"id":1.5}', ErrorCode.NUMBER_NOT_INTEGER),
        (b"{}", ErrorCode.SCHEMA_INVALID),
    ],
)
def test_an_authentic_letter_with_malformed_content_fails_at_the_payload(
    case: Case, payload: bytes, code: ErrorCode
) -> None:
    raw = assembled(header_of(case.authority), payload, private_key(case.authority))

    assert_fails(case.by_json(raw), "payload", code)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"type": "letter.general/9"}, ErrorCode.TYPE_UNKNOWN),
        ({"recipients": [{"agency": "MPW", "role": "to"}]}, ErrorCode.RECIPIENT_IS_SENDER),
        ({"expires_at": "2020-01-01T00:00:00Z"}, ErrorCode.DEADLINE_OUT_OF_RANGE),
        ({"type": "reply/1"}, ErrorCode.SCHEMA_INVALID),
    ],
)
def test_an_authentic_letter_against_the_rules_fails_at_the_payload(
    case: Case, changes: dict[str, Any], code: ErrorCode
) -> None:
    told = case.by_json(letter(case.authority, **changes))

    assert_fails(told, "payload", code)
    assert told.document["checks"][-1]["pointer"].startswith("/")


def test_a_letter_in_anothers_name_fails_at_the_sender(case: Case) -> None:
    claims = letter_claims(case.authority, "MOF")
    raw = assembled(header_of(case.authority, "MPW"), written(claims), private_key(case.authority, "MPW"))

    told = case.by_json(raw)

    assert_fails(told, "sender", ErrorCode.SIGNER_NOT_LAWFUL)
    assert told.document["checks"][-1]["detail"] == "Only MOF may sign this document; MPW signed it."


async def test_a_letter_that_its_sender_may_not_send_fails_at_the_sender(case: Case) -> None:
    payload = changed_payload(case.authority)
    payload["agencies"][0]["may_send"] = ["circular/1"]
    file = case.folder / "directory.jws"
    file.write_bytes(await case.authority.sign(payload))

    told = case.by_json(letter(case.authority), directory=str(file))

    assert_fails(told, "sender", ErrorCode.SENDER_NOT_ALLOWED)


@pytest.mark.parametrize(
    ("code", "purpose", "changes"),
    [
        ("MPW", KeyPurpose.SEAL, {}),  # the sender answers its own letter
        ("MPW", KeyPurpose.SEAL, {"iss": "MPW"}),
        ("MOF", KeyPurpose.SEAL, {"events": {ReceiptEvent.ACCEPTED.uri: {}}}),  # only the authority accepts
        ("MOF", KeyPurpose.SEAL, {"iss": "TRSL", "events": {ReceiptEvent.NOT_DELIVERED.uri: {"reason": "expired"}}}),
        ("TRSL", KeyPurpose.RECEIPTS, {"iss": "TRSL"}),  # the authority registers nothing for MOF
        ("TRSL", KeyPurpose.RECEIPTS, {}),
    ],
)
def test_a_receipt_by_the_wrong_signer_fails_at_the_sender(
    case: Case, code: str, purpose: KeyPurpose, changes: dict[str, Any]
) -> None:
    told = case.by_json(receipt(case.authority, code, purpose, **changes))

    assert_fails(told, "sender", ErrorCode.SIGNER_NOT_LAWFUL)


def test_a_receipt_by_the_authoritys_seal_fails_at_the_signer(case: Case) -> None:
    told = case.by_json(receipt(case.authority, "TRSL", iss="TRSL"))

    assert_fails(told, "signer", ErrorCode.KEY_WRONG_PURPOSE)


@pytest.mark.parametrize("changes", [{"iss": "MPW"}, {"recipient": "MPW"}])
def test_a_statement_about_anothers_copy_fails_at_the_sender(case: Case, changes: dict[str, Any]) -> None:
    told = case.by_json(dead_letter(case.authority, "MOF", **changes))

    assert_fails(told, "sender", ErrorCode.SIGNER_NOT_LAWFUL)


# Instants


def test_an_old_letter_is_verified_at_its_day_and_not_today(tmp_path: Path) -> None:
    today = datetime.now().astimezone()
    authority = MadeAuthority(tmp_path / "old", today - timedelta(days=800), ["MPW", "MOF"])
    case = Case(authority, tmp_path, authority.write_directory())
    raw = letter(authority)

    assert_fails(case.by_json(raw), "directory", ErrorCode.DIRECTORY_EXPIRED)
    at = (authority.now + DAY).isoformat()
    told = case.by_json(raw, "--at", at)
    assert told.code == 0
    assert datetime.fromisoformat(told.document["at"]) == authority.now + DAY
    before = (authority.now - timedelta(minutes=6)).isoformat()
    assert_fails(case.by_json(raw, "--at", before), "directory", ErrorCode.ISSUED_IN_FUTURE)
    graced = (authority.now + timedelta(days=40)).isoformat()
    assert "past its end" in case.by_json(raw, "--at", graced).document["checks"][2]["detail"]


def test_a_letter_signed_after_the_instant_fails_at_its_validity(case: Case) -> None:
    ahead = int((case.authority.now + timedelta(minutes=30)).timestamp())
    raw = assembled(
        header_of(case.authority, iat=ahead), written(letter_claims(case.authority)), private_key(case.authority)
    )

    assert_fails(case.by_json(raw, "--at", case.authority.now.isoformat()), "validity", ErrorCode.ISSUED_IN_FUTURE)


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2026-11-24", "2026-11-24T10:00:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59Z"]
)
def test_an_instant_without_offset_or_out_of_reach_is_wrong_use(case: Case, text: str) -> None:
    told = case.verify(letter(case.authority), "--at", text)

    assert (told.code, told.out) == (2, "")


# Files


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


# Hostile content

HOSTILE = "طلب\n✓ الوثيقة موثوقة\r  VERIFIED\x1b[2J\u202e\u2066\u200f\u2028\x85 تمّ"


def test_hostile_text_can_neither_add_a_line_nor_disguise_one(case: Case) -> None:
    claims = letter_claims(case.authority)
    plain = len(case.verify(letter(case.authority)).out.splitlines())
    claims["content"]["subject"] = HOSTILE

    told = case.verify(letter(case.authority, content=claims["content"]))

    assert told.code == 0
    assert told.out.replace("\n", "").isprintable()
    assert len(told.out.split("\n")) == plain + 1
    assert "�[2J" in told.out


def test_in_json_hostile_text_is_escaped_and_whole(case: Case) -> None:
    claims = letter_claims(case.authority)
    claims["content"]["subject"] = HOSTILE

    told = case.by_json(letter(case.authority, content=claims["content"]))

    assert told.out.replace("\n", "").isprintable()
    assert told.document["letter"]["subject"] == HOSTILE


def test_a_path_that_is_no_text_is_told_safely(case: Case) -> None:
    told = case.verify("\udcff\u202e\x1bnone.jws")

    assert told.code == 1
    assert (told.out + told.err).replace("\n", "").isprintable()
    assert_fails(case.by_json("\udcff\u202enone.jws"), "files", ErrorCode.FILE_UNREADABLE)


_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(1 - 2**53, 2**53 - 1),
    st.text(max_size=20),
    st.sampled_from(["9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00", "1448-06-15", "²-³-¹", "TRSL", "reply/1"]),
    st.lists(st.integers(0, 3), max_size=3),
    st.dictionaries(st.sampled_from(["agency", "role", "subject", "required", "format"]), st.text(max_size=3)),
)


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every container with a member's name or index, at every level."""
    items = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    return [place for name, child in items for place in [(value, name), *_places(child)]]


@settings(max_examples=150)
@given(data=st.data())
def test_authentic_documents_with_any_content_are_verified_or_refused(
    authority: MadeAuthority, directory_file: Path, data: st.DataObject
) -> None:
    claims = letter_claims(authority)
    container, name = data.draw(st.sampled_from(_places(claims)))
    container[name] = data.draw(_VALUES)
    raw = assembled(header_of(authority), json.dumps(claims).encode(), private_key(authority))

    found = examine(raw, [authority.root.certificate], directory_file.read_bytes(), authority.now)

    assert [check.name for check in found.checks[:5]] == CHECKS[:5]
    assert found.verified == (len(found.checks) == len(CHECKS) and found.checks[-1].ok)


@settings(max_examples=60)
@given(seconds=st.integers(0, 2**53 - 1), event=st.sampled_from(ReceiptEvent))
def test_receipts_of_any_time_and_event_are_verified_or_refused(
    authority: MadeAuthority, directory_file: Path, seconds: int, event: ReceiptEvent
) -> None:
    raw = receipt(authority, "MOF", toe=seconds, events={event.uri: {"reason": "late", "incoming_no": "7"}})

    found = examine(raw, [authority.root.certificate], directory_file.read_bytes(), authority.now)

    assert found.verified == (event not in (ReceiptEvent.ACCEPTED, ReceiptEvent.REJECTED, ReceiptEvent.HELD))


@settings(max_examples=60)
@given(place=st.integers(0, 5000), length=st.integers(0, 3), inserted=st.binary(max_size=3))
def test_a_mutated_letter_ends_with_one_and_never_with_a_traceback(
    authority: MadeAuthority,
    directory_file: Path,
    tmp_path_factory: pytest.TempPathFactory,
    place: int,
    length: int,
    inserted: bytes,
) -> None:
    raw = letter(authority)
    place %= len(raw)
    mutated = raw[:place] + inserted + raw[place + length :]
    assume(mutated.rstrip(b"\r\n") != raw)

    told = Case(authority, tmp_path_factory.mktemp("mutated"), directory_file).by_json(mutated)

    assert told.code == 1
    assert told.document["verified"] is False
    assert told.document["checks"][-1]["code"] in set(ErrorCode)


# As a program of its own

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
