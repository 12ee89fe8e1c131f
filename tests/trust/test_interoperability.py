"""Our letters and another JOSE library's: each verifies what the other signed."""

import hashlib
import json

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwcrypto import jwk, jws

from schemas.errors import ErrorCode
from tests.support.authority import MadeAuthority
from tests.trust.forging import b64, header_of, letter, letter_claims, malleated, written
from trust import ijson
from trust.directory import Directory
from trust.errors import VerificationError
from trust.token import TokenType, open_token
from trust.verification import verify


def public_jwk(authority: MadeAuthority, code: str) -> jwk.JWK:
    public = authority.file_key(code).certificate.public_key()
    return jwk.JWK.from_pem(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def read_by_jwcrypto(authority: MadeAuthority, raw: bytes, code: str) -> jws.JWS:
    token = jws.JWS()
    token.allowed_algs = ["ES256"]
    token.deserialize(raw.decode(), public_jwk(authority, code))
    return token


async def test_jwcrypto_verifies_a_letter_that_the_product_signed(authority: MadeAuthority) -> None:
    claims = letter_claims(authority)
    [signed] = await authority.signer("MPW").sign(
        TokenType.LETTER, [ijson.dump(claims)], int(authority.now.timestamp())
    )

    token = read_by_jwcrypto(authority, signed.text, "MPW")

    assert json.loads(token.payload) == claims
    header = token.jose_header
    assert header["typ"] == "tarasul-letter+jws"
    der = authority.file_key("MPW").certificate.public_bytes(Encoding.DER)
    assert header["x5t#S256"] == b64(hashlib.sha256(der).digest()).decode()
    with pytest.raises(jws.InvalidJWSSignature):
        read_by_jwcrypto(authority, signed.text, "MOF")


def signed_by_jwcrypto(authority: MadeAuthority, code: str = "MPW") -> bytes:
    key = jwk.JWK.from_pem((authority.keys_folder(code) / "seal.key").read_bytes())
    token = jws.JWS(written(letter_claims(authority)))
    token.add_signature(key, None, json.dumps(header_of(authority)))
    return str(token.serialize(compact=True)).encode()


def test_the_product_verifies_a_letter_that_jwcrypto_signed(authority: MadeAuthority, directory: Directory) -> None:
    token = open_token(signed_by_jwcrypto(authority), TokenType.LETTER)

    assert verify(token, directory, purpose="seal", now=authority.now).agency == "MPW"
    assert token.claims() == letter_claims(authority)


def test_the_product_refuses_a_letter_that_jwcrypto_signed_with_another_agencys_key(
    authority: MadeAuthority, directory: Directory
) -> None:
    token = open_token(signed_by_jwcrypto(authority, "MOF"), TokenType.LETTER)

    with pytest.raises(VerificationError) as caught:
        verify(token, directory, purpose="seal", now=authority.now)
    assert caught.value.code is ErrorCode.SIGNATURE_INVALID


def test_jwcrypto_too_takes_the_other_signature_so_that_identity_cannot_rest_on_it(authority: MadeAuthority) -> None:
    raw = letter(authority)

    assert read_by_jwcrypto(authority, malleated(raw), "MPW").payload == read_by_jwcrypto(authority, raw, "MPW").payload
