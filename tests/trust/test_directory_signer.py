"""Who may sign a directory, and with what: nobody but the directory key under the pinned root."""

import base64
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from schemas.directory import KeyPurpose
from schemas.errors import ErrorCode
from tests.support.authority import MadeAuthority
from tests.trust.forging import (
    assembled,
    changed_payload,
    header_of,
    private_key,
    signature_replaced,
    signed_unchecked,
    unb64,
    written,
)
from tests.trust.made_chains import UNREADABLE, damaged
from tests.trust.opening import opened, refused
from trust.directory import Directory
from trust.errors import VerificationError

SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)


async def test_time_of_signing_ahead_is_refused(authority: MadeAuthority) -> None:
    payload = changed_payload(authority)

    near = await signed_unchecked(authority, payload, now=authority.now + timedelta(minutes=4))
    far = await signed_unchecked(authority, payload, now=authority.now + timedelta(minutes=6))

    assert opened(authority, near).version == 1
    assert refused(authority, far).code is ErrorCode.ISSUED_IN_FUTURE


async def test_a_directory_dated_ahead_is_refused_whatever_its_signature_says(authority: MadeAuthority) -> None:
    # Thirty days of validity that begin in ten years would be ten years and thirty days.
    for ahead in (timedelta(minutes=6), timedelta(days=3650)):
        issued_at = authority.now + ahead
        dates = {"issued_at": issued_at.isoformat(), "valid_until": (issued_at + 30 * DAY).isoformat()}

        error = refused(authority, await signed_unchecked(authority, changed_payload(authority) | dates))

        assert (error.code, error.signature_good) == (ErrorCode.ISSUED_IN_FUTURE, True)


@pytest.mark.parametrize(
    ("code", "purpose"),
    [
        ("MPW", KeyPurpose.SEAL),
        ("TRSL", KeyPurpose.SEAL),
        ("TRSL", KeyPurpose.RECEIPTS),
        ("TRSL", KeyPurpose.TRANSPORT),
        ("MPW", KeyPurpose.DIRECTORY),
    ],
)
async def test_only_the_directory_key_of_the_authority_signs_directories(
    authority: MadeAuthority, tmp_path: Path, code: str, purpose: KeyPurpose
) -> None:
    made_authority = authority
    if (code, purpose) == ("MPW", KeyPurpose.DIRECTORY):
        made_authority = MadeAuthority(tmp_path, authority.now, ["MPW"])
        made_authority.add_key(code, purpose)

    raw = await signed_unchecked(made_authority, changed_payload(made_authority), code, purpose)

    assert refused(made_authority, raw).code is ErrorCode.KEY_WRONG_PURPOSE


async def test_another_root_is_refused(authority: MadeAuthority, tmp_path: Path) -> None:
    stranger = MadeAuthority(tmp_path, authority.now, ["MPW"])

    assert refused(authority, await stranger.sign()).code is ErrorCode.CHAIN_INVALID
    with pytest.raises(VerificationError) as caught:
        Directory.open(await authority.sign(), [], authority.now)
    assert caught.value.code is ErrorCode.CHAIN_INVALID


async def _with_header(authority: MadeAuthority, **changes: object) -> bytes:
    """The directory, truly signed by its key, under a header with ``changes``."""
    genuine = await authority.sign()
    header: dict[str, Any] = json.loads(unb64(genuine.split(b".")[0])) | changes
    key = private_key(authority, "TRSL", KeyPurpose.DIRECTORY)
    kept = {name: value for name, value in header.items() if value is not ...}
    return assembled(kept, unb64(genuine.split(b".")[1]), key)


@pytest.mark.parametrize(
    "x5c",
    [..., None, [], "MIIB", ["AAAA"], [""], ["é"], [7], ["A" * 8] * 5, {"0": "MIIB"}],
    ids=["missing", "null", "empty", "text", "no certificate", "blank", "not ASCII", "number", "five", "object"],
)
async def test_a_directory_without_readable_certificates_is_refused(authority: MadeAuthority, x5c: object) -> None:
    error = refused(authority, await _with_header(authority, x5c=x5c))

    assert (error.code, error.params) == (ErrorCode.HEADER_MEMBER_INVALID, {"member": "x5c"})


@pytest.mark.parametrize("what", UNREADABLE)
@pytest.mark.parametrize("place", [0, 1])
async def test_certificates_that_anybody_may_have_damaged_are_refused_as_no_certificates(
    authority: MadeAuthority, what: str, place: int
) -> None:
    genuine = await authority.sign()
    x5c: list[str] = json.loads(unb64(genuine.split(b".")[0]))["x5c"]
    x5c[place] = base64.b64encode(damaged(authority.file_key("MPW").certificate, what)).decode()

    error = refused(authority, await _with_header(authority, x5c=x5c))

    assert (error.code, error.params) == (ErrorCode.HEADER_MEMBER_INVALID, {"member": "x5c"})


async def test_a_directory_brings_four_certificates_at_most(authority: MadeAuthority) -> None:
    genuine = await authority.sign()
    leaf, issuer = json.loads(unb64(genuine.split(b".")[0]))["x5c"]

    assert opened(authority, await _with_header(authority, x5c=[leaf, *[issuer] * 3])).version == 1
    error = refused(authority, await _with_header(authority, x5c=[leaf, *[issuer] * 4]))

    assert (error.code, error.params) == (ErrorCode.HEADER_MEMBER_INVALID, {"member": "x5c"})


async def test_a_directory_signed_by_another_key_than_its_certificates_is_refused(authority: MadeAuthority) -> None:
    genuine = await authority.sign()
    header, payload, _ = genuine.split(b".")
    forged = assembled(unb64(header), unb64(payload), private_key(authority, "TRSL", KeyPurpose.RECEIPTS))

    assert refused(authority, forged).code is ErrorCode.SIGNATURE_INVALID


async def test_a_directory_that_names_another_certificates_digest_is_refused(authority: MadeAuthority) -> None:
    raw = await _with_header(authority, **{"x5t#S256": authority.file_key("TRSL").x5t})

    assert refused(authority, raw).code is ErrorCode.CERTIFICATE_DIGEST_MISMATCH


@pytest.mark.parametrize("member", ["jwk", "jku", "x5u", "crit", "b64", "zip"])
async def test_a_directory_may_bring_certificates_and_nothing_else_to_verify_with(
    authority: MadeAuthority, member: str
) -> None:
    error = refused(authority, await _with_header(authority, **{member: "x"}))

    assert (error.code, error.params) == (ErrorCode.HEADER_MEMBER_FORBIDDEN, {"member": member})


async def test_a_payload_that_is_no_strict_json_is_refused_by_its_own_code(authority: MadeAuthority) -> None:
    text = written(authority.payload())[:-1] + b',"version":2}'

    assert refused(authority, await signed_unchecked(authority, text)).code is ErrorCode.PAYLOAD_MEMBER_DUPLICATE


async def test_an_altered_directory_is_refused(authority: MadeAuthority) -> None:
    other = written(authority.payload() | {"version": 2})
    header, _, signature = (unb64(part) for part in (await authority.sign()).split(b"."))

    raw = assembled(header, other, private_key(authority, "TRSL", KeyPurpose.DIRECTORY))
    assert opened(authority, raw).version == 2  # so it is the signature below that is wrong
    assert refused(authority, signature_replaced(raw, signature)).code is ErrorCode.SIGNATURE_INVALID


async def test_a_letter_is_no_directory(authority: MadeAuthority) -> None:
    raw = assembled(header_of(authority), b"{}", private_key(authority))

    assert refused(authority, raw).code is ErrorCode.TOKEN_TYPE_WRONG


async def test_a_directory_key_counts_no_longer_than_its_certificate(authority: MadeAuthority, tmp_path: Path) -> None:
    made_authority = MadeAuthority(tmp_path, authority.now, ["MPW"])
    end = authority.now + 3 * DAY
    short = made_authority.add_key("TRSL", KeyPurpose.DIRECTORY, name="short", not_after=end)
    raw = await made_authority.sign(key=short)

    assert opened(made_authority, raw, 3 * DAY).version == 1
    error = refused(made_authority, raw, 3 * DAY + SECOND)

    assert (error.code, error.params) == (ErrorCode.KEY_EXPIRED, {"kid": short.kid})


async def test_a_directory_key_to_come_signs_nothing_yet(authority: MadeAuthority, tmp_path: Path) -> None:
    made_authority = MadeAuthority(tmp_path, authority.now, ["MPW"])
    coming = made_authority.add_key("TRSL", KeyPurpose.DIRECTORY, name="next", not_before=authority.now + DAY)

    assert refused(made_authority, await made_authority.sign(key=coming)).code is ErrorCode.CHAIN_INVALID
