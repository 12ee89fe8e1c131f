"""The directory: believed only when its signer, its certificates and its every entry are in order."""

import base64
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from schemas.directory import KeyPurpose
from schemas.errors import ErrorCode, Refused
from tests.support.authority import MadeAuthority
from tests.trust.forging import (
    changed_payload,
    directory_with,
    malleated,
    signed_unchecked,
)
from tests.trust.made_chains import damaged, made
from tests.trust.opening import opened, refused
from trust.directory import DirectoryState, sign_directory
from trust.directory_entries import decode_certificate, describe_key, encode_certificate
from trust.token import TokenType, open_token

SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)
MPW, SEAL = 0, 1
"""Places in the payload: MPW is the first agency, its seal the second key."""


async def test_what_was_signed_is_read_back(authority: MadeAuthority) -> None:
    raw = await authority.sign()

    directory = opened(authority, raw)

    assert (directory.version, directory.issued_at) == (1, authority.now)
    assert directory.valid_until == authority.now + timedelta(days=30)
    assert directory.digest == open_token(raw, TokenType.DIRECTORY).digest
    assert list(directory.agencies) == ["MPW", "MOF", "TRSL"]
    mpw = directory.agency("MPW")
    assert mpw is not None
    assert (mpw.name_ar, mpw.name_en) == ("وزارة الأشغال العامة", "Ministry of Public Works")
    assert directory.agency("SAB") is None
    key = directory.key(authority.file_key("MPW").kid)
    assert key is not None
    assert (key.agency, key.purpose, key.alg) == ("MPW", "seal", "ES256")
    assert directory.keys_of("MPW", "seal") == [key]
    assert directory.keys_of("MPW", "receipts") == []


async def test_the_other_signature_is_the_same_directory(authority: MadeAuthority) -> None:
    raw = await authority.sign()

    assert opened(authority, malleated(raw)).digest == opened(authority, raw).digest


def _twice_the_agency(payload: dict[str, Any]) -> None:
    payload["agencies"].append(payload["agencies"][MPW] | {"keys": []})


def _twice_the_key(payload: dict[str, Any]) -> None:
    payload["agencies"][MPW]["keys"].append(payload["agencies"][MPW]["keys"][SEAL])


def _anothers_certificate(payload: dict[str, Any]) -> None:
    mpw, mof, _ = payload["agencies"]
    mpw["keys"][SEAL]["certificate"] = mof["keys"][SEAL]["certificate"]


def _another_purposes_certificate(payload: dict[str, Any]) -> None:
    keys = payload["agencies"][MPW]["keys"]
    keys[SEAL]["certificate"] = keys[0]["certificate"]


def _a_line_break_in_base64(payload: dict[str, Any]) -> None:
    entry = payload["agencies"][MPW]["keys"][SEAL]
    entry["certificate"] = entry["certificate"][:64] + "\n" + entry["certificate"][64:]


def _bytes_behind_the_certificate(payload: dict[str, Any]) -> None:
    entry = payload["agencies"][MPW]["keys"][SEAL]
    entry["certificate"] = base64.b64encode(base64.b64decode(entry["certificate"]) + b"\0\0\0").decode()


def _unreadable(what: str) -> Callable[[dict[str, Any]], None]:
    def damage(payload: dict[str, Any]) -> None:
        entry = payload["agencies"][MPW]["keys"][SEAL]
        certificate = decode_certificate(entry["certificate"])
        entry["certificate"] = base64.b64encode(damaged(certificate, what)).decode()

    return damage


def _in_entry(**members: object) -> Callable[[dict[str, Any]], None]:
    return lambda payload: payload["agencies"][MPW]["keys"][SEAL].update(members)


def _in_payload(**members: object) -> Callable[[dict[str, Any]], None]:
    return lambda payload: payload.update(members)


def _in_agency(**members: object) -> Callable[[dict[str, Any]], None]:
    return lambda payload: payload["agencies"][MPW].update(members)


ENTRY = "/agencies/0/keys/1"


@pytest.mark.parametrize(
    ("damage", "pointer"),
    [
        (_twice_the_agency, "/agencies/3/code"),
        (_twice_the_key, "/agencies/0/keys/3/kid"),
        (_anothers_certificate, f"{ENTRY}/certificate"),
        (_another_purposes_certificate, f"{ENTRY}/purpose"),
        (_a_line_break_in_base64, f"{ENTRY}/certificate"),
        (_bytes_behind_the_certificate, f"{ENTRY}/certificate"),
        (_unreadable("version"), f"{ENTRY}/certificate"),
        (_unreadable("subject"), f"{ENTRY}/certificate"),
        (_in_entry(certificate=""), f"{ENTRY}/certificate"),
        (_in_entry(certificate="é"), f"{ENTRY}/certificate"),
        (_in_entry(certificate="AAAA"), f"{ENTRY}/certificate"),
        (_in_entry(purpose="receipts"), f"{ENTRY}/purpose"),
        (_in_entry(not_before="2026-13-01T00:00:00Z"), f"{ENTRY}/not_before"),
        (_in_entry(not_after="2026-02-30T00:00:00Z"), f"{ENTRY}/not_after"),
        (_in_entry(not_after="9999-12-31T23:59:59-05:00"), f"{ENTRY}/not_after"),
        (_in_entry(revoked_at="2026-01-01T25:00:00Z", revocation="ordinary"), f"{ENTRY}/revoked_at"),
        (_in_entry(revocation="compromised"), f"{ENTRY}/revoked_at"),
        (_in_entry(revocation="lost"), f"{ENTRY}/revocation"),
        (_in_entry(kid="a b"), f"{ENTRY}/kid"),
        (_in_payload(issuers=["AAAA"]), "/issuers/0"),
        (_in_payload(issuers=[]), "/issuers"),
        (_in_payload(version=0), "/version"),
        (_in_payload(version=True), "/version"),
        (_in_payload(version="1"), "/version"),
        (_in_payload(issued_at="2026-11-24"), "/issued_at"),
        (_in_payload(issued_at="2026-11-31T00:00:00Z"), "/issued_at"),
        (_in_payload(valid_until="2026-11-24T24:60:00Z"), "/valid_until"),
        (_in_payload(agencies={}), "/agencies"),
        (_in_payload(log="tarasul/journal/1"), "/log"),
        (_in_payload(log=7), "/log"),
        (_in_agency(code="mpw"), "/agencies/0/code"),
        (_in_agency(status="asleep"), "/agencies/0/status"),
        (_in_agency(name_ar=""), "/agencies/0/name_ar"),
    ],
)
async def test_a_malformed_directory_is_refused_with_the_place(
    authority: MadeAuthority, damage: Callable[[dict[str, Any]], None], pointer: str
) -> None:
    payload = changed_payload(authority)
    damage(payload)

    error = refused(authority, await signed_unchecked(authority, payload))

    assert (error.code, error.pointer) == (ErrorCode.DIRECTORY_MALFORMED, pointer)


async def test_a_missing_member_is_refused_with_its_name(authority: MadeAuthority) -> None:
    for member in ("version", "issued_at", "valid_until", "issuers", "agencies"):
        payload = changed_payload(authority)
        del payload[member]

        error = refused(authority, await signed_unchecked(authority, payload))

        assert (error.code, error.pointer) == (ErrorCode.DIRECTORY_MALFORMED, f"/{member}")


@pytest.mark.parametrize("days", [-1.0, 0.0, 30.0, 30 + 1 / 86_400])
async def test_validity_is_thirty_days_at_most_and_some(authority: MadeAuthority, days: float) -> None:
    payload = changed_payload(authority)
    payload["valid_until"] = (authority.now + timedelta(days=days)).isoformat()
    raw = await signed_unchecked(authority, payload)

    if days == 30:
        assert opened(authority, raw).version == 1
    else:
        error = refused(authority, raw)
        assert (error.code, error.pointer) == (ErrorCode.DIRECTORY_MALFORMED, "/valid_until")


async def test_a_key_certified_by_nobody_is_refused(authority: MadeAuthority, tmp_path: Path) -> None:
    stranger = MadeAuthority(tmp_path, authority.now, ["MPW"])
    payload = changed_payload(authority)
    payload["agencies"][MPW]["keys"][SEAL] = stranger.keys["MPW"][SEAL]

    error = refused(authority, await signed_unchecked(authority, payload))
    assert (error.code, error.pointer) == (ErrorCode.DIRECTORY_MALFORMED, f"{ENTRY}/certificate")

    # An issuing authority that the directory brings along is not trusted for being there.
    payload["issuers"] += stranger.payload()["issuers"]
    error = refused(authority, await signed_unchecked(authority, payload))
    assert (error.code, error.pointer) == (ErrorCode.DIRECTORY_MALFORMED, f"{ENTRY}/certificate")


async def test_a_key_on_another_curve_is_refused(authority: MadeAuthority) -> None:
    weak = made("MPW", authority.now, authority=False, key=ec.generate_private_key(ec.SECP384R1()))
    payload = changed_payload(authority)
    payload["agencies"][MPW]["keys"][SEAL]["certificate"] = encode_certificate(weak.certificate)

    error = refused(authority, await signed_unchecked(authority, payload))

    assert (error.code, error.pointer) == (ErrorCode.DIRECTORY_MALFORMED, f"{ENTRY}/certificate")


@pytest.mark.parametrize("change", [{"purpose": "dilithium-seal"}, {"alg": "ML-DSA-44"}])
async def test_a_key_of_a_later_release_is_passed_over_and_the_others_count(
    authority: MadeAuthority, change: dict[str, str]
) -> None:
    later = {"kid": "MPW.later", "certificate": "what no release knows yet"}
    payload = changed_payload(authority)
    payload["agencies"][MPW]["keys"].append(payload["agencies"][MPW]["keys"][SEAL] | later | change)

    directory = opened(authority, await signed_unchecked(authority, payload))

    assert directory.key("MPW.later") is None
    assert directory.key(authority.file_key("MPW").kid) is not None


async def test_members_of_a_later_release_are_no_reason_to_refuse(authority: MadeAuthority) -> None:
    payload = changed_payload(authority)
    payload["later"] = {"any": ["thing"]}
    payload["agencies"][MPW]["later"] = 1
    payload["agencies"][MPW]["keys"][SEAL]["later"] = None

    directory = opened(authority, await signed_unchecked(authority, payload))

    assert directory.payload.model_dump()["later"] == {"any": ["thing"]}


async def test_an_expired_key_stays_listed_and_is_found(authority: MadeAuthority, tmp_path: Path) -> None:
    made_authority = MadeAuthority(tmp_path, authority.now, ["MPW"])
    old = made_authority.add_key(
        "MPW",
        KeyPurpose.SEAL,
        name="old-seal",
        not_before=authority.now - timedelta(days=400),
        not_after=authority.now - timedelta(days=35),
    )

    directory = opened(made_authority, await made_authority.sign())

    assert [key.kid for key in directory.keys_of("MPW", "seal")] == [made_authority.file_key("MPW").kid, old.kid]


async def test_a_key_to_come_is_listed_before_it_counts(tmp_path: Path, authority: MadeAuthority) -> None:
    made_authority = MadeAuthority(tmp_path, authority.now, ["MPW"])
    coming = made_authority.add_key("MPW", KeyPurpose.SEAL, name="next-seal", not_before=authority.now + 10 * DAY)

    assert opened(made_authority, await made_authority.sign()).key(coming.kid) is not None


@pytest.mark.parametrize(
    ("days_left", "state"),
    [
        (30.0, "current"),
        (7.001, "current"),
        (7.0, "ageing"),
        (0.0, "ageing"),
        (-0.001, "grace"),
        (-14.0, "grace"),
        (-14.001, "expired"),
    ],
)
async def test_validity_runs_through_its_states_and_an_expired_directory_is_refused(
    authority: MadeAuthority, days_left: float, state: DirectoryState
) -> None:
    raw = await authority.sign()
    later = timedelta(days=30 - days_left)

    assert opened(authority, raw).state(authority.now + later) == state
    if state == "expired":
        error = refused(authority, raw, later)
        assert (error.code, error.signature_good) == (ErrorCode.DIRECTORY_EXPIRED, True)
        assert error.params == {"version": 1}
    else:
        assert opened(authority, raw, later).version == 1


async def test_a_directory_long_past_is_told_to_have_run_out_though_its_key_has_too(authority: MadeAuthority) -> None:
    error = refused(authority, await authority.sign(), timedelta(days=800))

    assert (error.code, error.signature_good) == (ErrorCode.DIRECTORY_EXPIRED, True)


async def test_an_older_version_is_refused_and_the_same_taken_again(authority: MadeAuthority) -> None:
    raw = await authority.sign(changed_payload(authority) | {"version": 41})

    assert opened(authority, raw, newer_than=40).version == 41
    assert opened(authority, raw, newer_than=41).version == 41
    error = refused(authority, raw, newer_than=42)

    assert (error.code, error.params) == (ErrorCode.DIRECTORY_ROLLED_BACK, {"version": 41, "newest": 42})
    assert error.signature_good


async def test_another_directory_of_the_version_in_force_is_refused(authority: MadeAuthority) -> None:
    payload = changed_payload(authority) | {"version": 41}
    first = await authority.sign(payload)
    payload["agencies"][MPW]["status"] = "suspended"
    other = await authority.sign(payload)
    digest = opened(authority, first).digest

    error = refused(authority, other, newer_than=41, newest_digest=digest)

    assert (error.code, error.params) == (ErrorCode.DIRECTORY_FORKED, {"version": 41})
    assert error.signature_good
    for same in (first, malleated(first)):
        assert opened(authority, same, newer_than=41, newest_digest=digest).digest == digest
    later = await authority.sign(payload | {"version": 42})
    assert opened(authority, later, newer_than=41, newest_digest=digest).version == 42
    assert opened(authority, other, newer_than=41).version == 41, "nobody remembers the digest"


@pytest.mark.parametrize("change", [{"version": 0}, {"agencies": None}, {"issuers": []}])
async def test_nothing_but_a_directory_is_signed_as_one(authority: MadeAuthority, change: dict[str, object]) -> None:
    key = authority.file_key("TRSL", KeyPurpose.DIRECTORY)

    with pytest.raises(Refused) as caught:
        await sign_directory(authority.payload() | change, key, [authority.issuing.certificate], 0)

    assert (caught.value.code, caught.value.pointer) == (ErrorCode.SCHEMA_INVALID, f"/{next(iter(change))}")


def test_a_certificate_has_one_spelling(authority: MadeAuthority) -> None:
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    texts = (encode_certificate(made("MPW", authority.now).certificate) for _ in range(200))
    text = next(text for text in texts if text.endswith("="))  # two of three lengths; then there are surplus bits
    kept = text.rstrip("=")
    other = kept[:-1] + digits[digits.index(kept[-1]) + 1] + text[len(kept) :]

    assert base64.b64decode(other) == base64.b64decode(text)
    assert encode_certificate(decode_certificate(text)) == text
    with pytest.raises(ValueError, match="not canonical"):
        decode_certificate(other)


async def test_a_key_is_described_as_it_is_read(authority: MadeAuthority) -> None:
    certificate = authority.file_key("MPW").certificate
    moment = authority.now - timedelta(minutes=3)
    described = describe_key(certificate, revoked_at=moment)
    assert described["revocation"] == "ordinary"

    kid = described.pop("kid")
    key = (await directory_with(authority, kid, **described)).key(kid)

    assert key is not None
    assert (key.not_before, key.not_after) == (certificate.not_valid_before_utc, certificate.not_valid_after_utc)
    assert (key.revoked_at, key.compromised) == (moment, False)
    assert key.certificate == certificate
