"""Offline verification: the first check that fails is the last, and nothing is claimed beyond it."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from schemas.directory import KeyPurpose
from schemas.errors import ErrorCode
from schemas.identifiers import AUTHORITY
from schemas.receipts import SUBJECT_FORMAT, ReceiptEvent
from tests.support.authority import MadeAuthority
from tests.trust.forging import (
    LETTER_ID,
    assembled,
    changed_payload,
    entry_of,
    header_of,
    letter,
    letter_claims,
    private_key,
    written,
)
from tests.trust.verifying import DAY, Case, assert_fails, dead_letter, receipt
from trust.token import TokenType


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
        ("TRSL", KeyPurpose.RECEIPTS, {}),
        ("TRSL", KeyPurpose.SEAL, {"iss": "TRSL"}),  # the authority registers nothing for MOF
    ],
)
def test_a_receipt_by_the_wrong_signer_fails_at_the_sender(
    case: Case, code: str, purpose: KeyPurpose, changes: dict[str, Any]
) -> None:
    told = case.by_json(receipt(case.authority, code, purpose, **changes))

    assert_fails(told, "sender", ErrorCode.SIGNER_NOT_LAWFUL)


@pytest.mark.parametrize("changes", [{"iss": "MPW"}, {"recipient": "MPW"}])
def test_a_statement_about_anothers_copy_fails_at_the_sender(case: Case, changes: dict[str, Any]) -> None:
    told = case.by_json(dead_letter(case.authority, "MOF", **changes))

    assert_fails(told, "sender", ErrorCode.SIGNER_NOT_LAWFUL)


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


@pytest.mark.parametrize(
    ("purpose", "event", "recipient", "code"),
    [
        (KeyPurpose.SEAL, ReceiptEvent.DELIVERED, AUTHORITY, None),
        (KeyPurpose.RECEIPTS, ReceiptEvent.REJECTED, "MOF", None),
        (KeyPurpose.RECEIPTS, ReceiptEvent.DELIVERED, AUTHORITY, ErrorCode.KEY_WRONG_PURPOSE),
        (KeyPurpose.RECEIPTS, ReceiptEvent.DELIVERED, "MOF", ErrorCode.KEY_WRONG_PURPOSE),
        (KeyPurpose.SEAL, ReceiptEvent.REJECTED, "MOF", ErrorCode.KEY_WRONG_PURPOSE),
    ],
)
def test_the_authority_speaks_by_one_key_and_as_a_recipient_by_another(
    case: Case, purpose: KeyPurpose, event: ReceiptEvent, recipient: str, code: ErrorCode | None
) -> None:
    raw = receipt(
        case.authority,
        AUTHORITY,
        purpose,
        iss=AUTHORITY,
        sub_id={"format": SUBJECT_FORMAT, "recipient": recipient, "digest": "ab" * 32, "letter": LETTER_ID},
        events={event.uri: {"reason": "too_late"} if event is ReceiptEvent.REJECTED else {}},
    )

    told = case.by_json(raw)

    if code is None:
        assert told.code == 0, told.document
    else:
        assert_fails(told, "sender", code)
