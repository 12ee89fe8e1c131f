"""Who signed a token: every doubt about key, signature and time is refused with a code of its own."""

import hmac
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from schemas.directory import KeyPurpose, RevocationKind
from schemas.errors import ErrorCode
from tests.support.authority import MadeAuthority
from tests.trust.forging import (
    ORDER,
    assembled,
    b64,
    directory_with,
    header_of,
    joined,
    letter,
    malleated,
    private_key,
    scalars,
    signature_replaced,
    unb64,
    written,
)
from trust.directory import Directory
from trust.directory_key import DirectoryKey
from trust.errors import VerificationError
from trust.token import TokenType, open_token
from trust.verification import CLOCK_TOLERANCE, EXPIRED_KEY_GRACE, verify

SECOND = timedelta(seconds=1)


def verified(
    raw: bytes, directory: Directory, now: datetime, *, purpose: str = "seal", grace: timedelta = EXPIRED_KEY_GRACE
) -> DirectoryKey:
    return verify(open_token(raw, TokenType.LETTER), directory, purpose=purpose, now=now, grace=grace)


def refused(
    raw: bytes, directory: Directory, now: datetime, *, purpose: str = "seal", grace: timedelta = EXPIRED_KEY_GRACE
) -> VerificationError:
    with pytest.raises(VerificationError) as caught:
        verified(raw, directory, now, purpose=purpose, grace=grace)
    return caught.value


@pytest.mark.parametrize("code", ["MPW", "MOF"])
def test_a_genuine_letter_names_its_signer(authority: MadeAuthority, directory: Directory, code: str) -> None:
    key = verified(letter(authority, code), directory, authority.now)

    assert (key.agency, key.purpose, key.kid) == (code, "seal", authority.file_key(code).kid)


async def test_a_letter_signed_by_the_product_names_its_signer(authority: MadeAuthority, directory: Directory) -> None:
    [token] = await authority.signer("MOF").sign(TokenType.LETTER, [b"{}"], int(authority.now.timestamp()))

    assert verified(token.text, directory, authority.now).agency == "MOF"


def test_right_curve_with_another_agencys_key_is_refused(authority: MadeAuthority, directory: Directory) -> None:
    forged = assembled(header_of(authority, "MPW"), b"{}", private_key(authority, "MOF"))

    assert refused(forged, directory, authority.now).code is ErrorCode.SIGNATURE_INVALID


@pytest.mark.parametrize("place", range(3), ids=["header", "payload", "signature"])
def test_one_altered_bit_is_refused(authority: MadeAuthority, directory: Directory, place: int) -> None:
    parts = [unb64(part) for part in letter(authority).split(b".")]
    # The last digit of iat, a letter of the body, a bit of r: each token still has the right shape.
    at = [len(parts[0]) - 2, parts[1].index(b"ROUTINE"), 7][place]
    parts[place] = parts[place][:at] + bytes([parts[place][at] ^ 1]) + parts[place][at + 1 :]

    error = refused(b".".join(map(b64, parts)), directory, authority.now)

    assert (error.code, error.signature_good) == (ErrorCode.SIGNATURE_INVALID, False)


def test_key_of_another_purpose_seals_nothing(authority: MadeAuthority, directory: Directory) -> None:
    transport = KeyPurpose.TRANSPORT
    raw = assembled(header_of(authority, "MPW", transport), b"{}", private_key(authority, "MPW", transport))

    error = refused(raw, directory, authority.now)

    assert error.code is ErrorCode.KEY_WRONG_PURPOSE
    assert error.params == {"kid": authority.file_key("MPW", transport).kid, "purpose": "transport"}


async def test_key_of_the_envelope_seals_nothing_even_if_it_is_listed_with_a_signing_algorithm(
    authority: MadeAuthority, directory: Directory
) -> None:
    envelope = KeyPurpose.ENVELOPE
    raw = assembled(header_of(authority, "MPW", envelope), b"{}", private_key(authority, "MPW", envelope))
    listed = await directory_with(authority, authority.file_key("MPW", envelope).kid, alg="ES256")

    assert refused(raw, directory, authority.now).code is ErrorCode.KEY_UNKNOWN
    assert refused(raw, listed, authority.now).code is ErrorCode.KEY_WRONG_PURPOSE


def test_a_seal_signs_no_receipt_of_the_authority(authority: MadeAuthority, directory: Directory) -> None:
    raw = assembled(header_of(authority, "TRSL"), b"{}", private_key(authority, "TRSL"))

    assert refused(raw, directory, authority.now, purpose="receipts").code is ErrorCode.KEY_WRONG_PURPOSE


def test_key_that_is_not_in_the_directory_is_refused(authority: MadeAuthority, directory: Directory) -> None:
    raw = assembled(header_of(authority, kid="MPW.seal.unknown"), b"{}", private_key(authority))

    error = refused(raw, directory, authority.now)

    assert (error.code, error.params) == (ErrorCode.KEY_UNKNOWN, {"kid": "MPW.seal.unknown"})


def test_right_kid_with_another_certificates_digest_is_refused(authority: MadeAuthority, directory: Directory) -> None:
    other = authority.file_key("MOF").x5t
    raw = assembled(header_of(authority, **{"x5t#S256": other}), b"{}", private_key(authority))

    assert refused(raw, directory, authority.now).code is ErrorCode.CERTIFICATE_DIGEST_MISMATCH


def test_ed25519_named_for_a_p256_key_is_refused(authority: MadeAuthority, directory: Directory) -> None:
    signing_input = b64(written(header_of(authority, alg="Ed25519"))) + b"." + b64(b"{}")
    raw = signing_input + b"." + b64(Ed25519PrivateKey.generate().sign(signing_input))

    error = refused(raw, directory, authority.now)

    assert (error.code, error.params) == (ErrorCode.ALGORITHM_MISMATCH, {"alg": "Ed25519"})


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
def test_hmac_keyed_with_the_public_key_is_no_es256_signature(
    authority: MadeAuthority, directory: Directory, encoding: Encoding
) -> None:
    public = authority.file_key("MPW").certificate.public_key()
    secret = public.public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)
    signing_input = letter(authority).rpartition(b".")[0]
    for mac in (hmac.digest(secret, signing_input, "sha256"), hmac.digest(secret, signing_input, "sha512")):
        raw = signing_input + b"." + b64(mac)
        assert refused(raw, directory, authority.now).code is ErrorCode.SIGNATURE_INVALID


def test_signature_of_another_length_is_refused(authority: MadeAuthority, directory: Directory) -> None:
    raw = letter(authority)
    good = unb64(raw.rpartition(b".")[2])
    r, s = good[:32], good[32:]
    for wrong in (b"", good[:-1], good + b"\0", b"\0" + good, r, good * 2, b"\0" + r + b"\0" + s):
        error = refused(signature_replaced(raw, wrong), directory, authority.now)
        assert error.code is ErrorCode.SIGNATURE_INVALID


def test_signature_in_der_is_refused(authority: MadeAuthority, directory: Directory) -> None:
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature  # noqa: PLC0415 - for this only

    raw = letter(authority)
    der = encode_dss_signature(*scalars(unb64(raw.rpartition(b".")[2])))

    assert refused(signature_replaced(raw, der), directory, authority.now).code is ErrorCode.SIGNATURE_INVALID


@pytest.mark.parametrize(
    ("r", "s"),
    [
        (0, None),
        (None, 0),
        (0, 0),
        (ORDER, None),
        (None, ORDER),
        (ORDER, ORDER),
        (2**256 - 1, None),
        (None, 2**256 - 1),
    ],
)
def test_scalar_of_zero_or_past_the_order_is_refused(
    authority: MadeAuthority, directory: Directory, r: int | None, s: int | None
) -> None:
    raw = letter(authority)
    good_r, good_s = scalars(unb64(raw.rpartition(b".")[2]))
    forged = joined(good_r if r is None else r, good_s if s is None else s)

    assert refused(signature_replaced(raw, forged), directory, authority.now).code is ErrorCode.SIGNATURE_INVALID


def test_the_other_signature_verifies_and_is_the_same_document(authority: MadeAuthority, directory: Directory) -> None:
    raw = letter(authority)
    other = malleated(raw)

    assert other != raw
    assert verified(other, directory, authority.now).agency == "MPW"
    assert open_token(other, TokenType.LETTER).digest == open_token(raw, TokenType.LETTER).digest


async def test_key_counts_from_its_first_instant_but_for_what_clocks_differ(authority: MadeAuthority) -> None:
    kid = authority.file_key("MPW").kid
    start = authority.now + timedelta(days=2)
    directory = await directory_with(authority, kid, not_before=start.isoformat())
    raw = letter(authority)

    assert verified(raw, directory, start - CLOCK_TOLERANCE).kid == kid
    error = refused(raw, directory, start - CLOCK_TOLERANCE - SECOND)

    assert (error.code, error.signature_good) == (ErrorCode.KEY_NOT_YET_VALID, True)


async def test_key_that_ran_out_in_good_order_counts_thirty_days_more(authority: MadeAuthority) -> None:
    kid = authority.file_key("MPW").kid
    end = authority.now + timedelta(days=2)
    directory = await directory_with(authority, kid, not_after=end.isoformat())
    raw = letter(authority)

    assert verified(raw, directory, end, grace=timedelta()).kid == kid
    assert verified(raw, directory, end + timedelta(days=30)).kid == kid
    for instant, grace in ((end + SECOND, timedelta()), (end + timedelta(days=30) + SECOND, EXPIRED_KEY_GRACE)):
        error = refused(raw, directory, instant, grace=grace)
        assert (error.code, error.signature_good) == (ErrorCode.KEY_EXPIRED, True)


@pytest.mark.parametrize("grace", [timedelta(), EXPIRED_KEY_GRACE])
async def test_revoked_key_counts_no_more_from_that_instant_on(authority: MadeAuthority, grace: timedelta) -> None:
    kid = authority.file_key("MPW").kid
    moment = authority.now + timedelta(hours=1)
    directory = await directory_with(
        authority, kid, revoked_at=moment.isoformat(), revocation=RevocationKind.ORDINARY.value
    )
    raw = letter(authority)

    assert verified(raw, directory, moment - SECOND, grace=grace).kid == kid
    error = refused(raw, directory, moment, grace=grace)

    assert (error.code, error.signature_good) == (ErrorCode.KEY_REVOKED, True)


async def test_nothing_that_a_compromised_key_signed_is_believed_whatever_its_date(authority: MadeAuthority) -> None:
    kid = authority.file_key("MPW").kid
    moment = authority.now + timedelta(hours=1)
    directory = await directory_with(
        authority, kid, revoked_at=moment.isoformat(), revocation=RevocationKind.COMPROMISED.value
    )
    for instant in (authority.now, moment - SECOND, moment + SECOND):
        error = refused(letter(authority), directory, instant)
        assert (error.code, error.signature_good) == (ErrorCode.KEY_COMPROMISED, True)


def test_time_of_signing_six_minutes_ahead_is_refused_and_four_taken(
    authority: MadeAuthority, directory: Directory
) -> None:
    def signed_ahead(minutes: int) -> bytes:
        iat = int((authority.now + timedelta(minutes=minutes)).timestamp())
        return assembled(header_of(authority, iat=iat), b"{}", private_key(authority))

    assert verified(signed_ahead(4), directory, authority.now).agency == "MPW"
    assert verified(signed_ahead(5), directory, authority.now).agency == "MPW"
    error = refused(signed_ahead(6), directory, authority.now)
    assert (error.code, error.signature_good) == (ErrorCode.ISSUED_IN_FUTURE, True)


def test_time_of_signing_long_past_decides_nothing(authority: MadeAuthority, directory: Directory) -> None:
    raw = assembled(header_of(authority, iat=0), b"{}", private_key(authority))

    assert verified(raw, directory, authority.now).agency == "MPW"


def test_largest_time_of_signing_is_refused_and_raises_nothing_else(
    authority: MadeAuthority, directory: Directory
) -> None:
    raw = assembled(header_of(authority, iat=2**53 - 1), b"{}", private_key(authority))

    assert refused(raw, directory, authority.now).code is ErrorCode.ISSUED_IN_FUTURE


def test_key_without_an_end_is_judged_like_any_other(authority: MadeAuthority, directory: Directory) -> None:
    kid = authority.file_key("MPW").kid
    endless = directory.key(kid)
    assert endless is not None
    # RFC 5280 §4.1.2.5: 99991231235959Z stands for "no well-defined end".
    keys = _OneKey(replace(endless, not_after=datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)))

    assert verify(open_token(letter(authority), TokenType.LETTER), keys, purpose="seal", now=authority.now).kid == kid


class _OneKey:
    """A directory of one key."""

    def __init__(self, key: DirectoryKey) -> None:
        self._key = key

    def key(self, kid: str) -> DirectoryKey | None:
        return self._key if kid == self._key.kid else None


async def test_a_key_counts_no_longer_than_the_narrower_of_entry_and_certificate(tmp_path: Path) -> None:
    authority = MadeAuthority(tmp_path, agencies=("MPW",))
    certificate = authority.file_key("MPW").certificate
    kid = authority.file_key("MPW").kid
    wider = await directory_with(
        authority,
        kid,
        not_before=(certificate.not_valid_before_utc - timedelta(days=1)).isoformat(),
        not_after=(certificate.not_valid_after_utc + timedelta(days=1)).isoformat(),
    )
    narrower = await directory_with(
        authority,
        kid,
        not_before=(certificate.not_valid_before_utc + timedelta(minutes=1)).isoformat(),
        not_after=(certificate.not_valid_after_utc - timedelta(days=1)).isoformat(),
    )
    by_wider, by_narrower = wider.key(kid), narrower.key(kid)
    assert by_wider is not None
    assert by_narrower is not None

    assert (by_wider.not_before, by_wider.not_after) == (
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
    )
    assert by_narrower.not_before == certificate.not_valid_before_utc + timedelta(minutes=1)
    assert by_narrower.not_after == certificate.not_valid_after_utc - timedelta(days=1)


@given(signature=st.binary(max_size=80))
def test_no_made_up_signature_verifies_and_none_raises_anything_else(
    authority: MadeAuthority, directory: Directory, signature: bytes
) -> None:
    raw = signature_replaced(letter(authority), signature)

    assert refused(raw, directory, authority.now).code is ErrorCode.SIGNATURE_INVALID
