"""The JWS wrapper: each shape but the one is refused, with a code of its own, before anything is believed."""

import hashlib
import hmac
import json
from collections.abc import Callable
from itertools import permutations
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from schemas.errors import ErrorCode
from tests.support.authority import MadeAuthority
from tests.trust.forging import assembled, b64, digest_of, header_of, letter, private_key, written
from trust.errors import VerificationError
from trust.token import LIMITS, TokenType, open_token, stated_type


def refused(raw: bytes, expected: TokenType = TokenType.LETTER) -> VerificationError:
    with pytest.raises(VerificationError) as caught:
        open_token(raw, expected)
    return caught.value


def test_a_genuine_token_is_taken_apart(authority: MadeAuthority) -> None:
    raw = letter(authority)

    token = open_token(raw, TokenType.LETTER)

    key = authority.file_key("MPW")
    assert (token.text, token.alg, token.typ) == (raw, "ES256", TokenType.LETTER)
    assert (token.kid, token.x5t, token.iat) == (key.kid, key.x5t, int(authority.now.timestamp()))
    assert token.digest == digest_of(raw)
    assert token.claims()["sender"] == {"agency": "MPW"}
    assert token.x5c == ()


@pytest.mark.parametrize(
    ("changes", "code", "params"),
    [
        ({"alg": "none"}, ErrorCode.ALGORITHM_NOT_ALLOWED, {"alg": "none"}),
        ({"alg": "HS256"}, ErrorCode.ALGORITHM_NOT_ALLOWED, {"alg": "HS256"}),
        ({"alg": "ES384"}, ErrorCode.ALGORITHM_NOT_ALLOWED, {"alg": "ES384"}),
        ({"alg": "es256"}, ErrorCode.ALGORITHM_NOT_ALLOWED, {"alg": "es256"}),
        ({"alg": ["ES256"]}, ErrorCode.ALGORITHM_NOT_ALLOWED, {"alg": ["ES256"]}),
        ({"alg": ...}, ErrorCode.ALGORITHM_NOT_ALLOWED, {"alg": None}),
        ({"crit": ["exp"]}, ErrorCode.HEADER_MEMBER_FORBIDDEN, {"member": "crit"}),
        ({"b64": False}, ErrorCode.HEADER_MEMBER_FORBIDDEN, {"member": "b64"}),
        ({"b64": False, "crit": ["b64"]}, ErrorCode.HEADER_MEMBER_FORBIDDEN, {"member": "b64"}),
        ({"jwk": {"kty": "EC"}}, ErrorCode.HEADER_MEMBER_FORBIDDEN, {"member": "jwk"}),
        ({"jku": "https://example.org/keys"}, ErrorCode.HEADER_MEMBER_FORBIDDEN, {"member": "jku"}),
        ({"x5u": "https://example.org/pem"}, ErrorCode.HEADER_MEMBER_FORBIDDEN, {"member": "x5u"}),
        ({"x5c": ["MIIB"]}, ErrorCode.HEADER_MEMBER_FORBIDDEN, {"member": "x5c"}),
        ({"zip": "DEF"}, ErrorCode.HEADER_MEMBER_FORBIDDEN, {"member": "zip"}),
        ({"kid": ...}, ErrorCode.HEADER_MEMBER_INVALID, {"member": "kid"}),
        ({"kid": 7}, ErrorCode.HEADER_MEMBER_INVALID, {"member": "kid"}),
        ({"kid": ""}, ErrorCode.HEADER_MEMBER_INVALID, {"member": "kid"}),
        ({"kid": "a" * 65}, ErrorCode.HEADER_MEMBER_INVALID, {"member": "kid"}),
        ({"kid": "MPW.seal\n"}, ErrorCode.HEADER_MEMBER_INVALID, {"member": "kid"}),
        ({"kid": "../MPW"}, ErrorCode.HEADER_MEMBER_INVALID, {"member": "kid"}),
        ({"x5t#S256": ...}, ErrorCode.HEADER_MEMBER_INVALID, {"member": "x5t#S256"}),
        ({"x5t#S256": "A" * 42}, ErrorCode.HEADER_MEMBER_INVALID, {"member": "x5t#S256"}),
        ({"x5t#S256": "A" * 42 + "B"}, ErrorCode.HEADER_MEMBER_INVALID, {"member": "x5t#S256"}),
        ({"x5t#S256": "A" * 43 + "="}, ErrorCode.HEADER_MEMBER_INVALID, {"member": "x5t#S256"}),
        ({"iat": ...}, ErrorCode.HEADER_MEMBER_INVALID, {"member": "iat"}),
        ({"iat": -1}, ErrorCode.HEADER_MEMBER_INVALID, {"member": "iat"}),
        ({"iat": True}, ErrorCode.HEADER_MEMBER_INVALID, {"member": "iat"}),
        ({"iat": "1700000000"}, ErrorCode.HEADER_MEMBER_INVALID, {"member": "iat"}),
        ({"typ": ...}, ErrorCode.TOKEN_TYPE_WRONG, {"found": None, "expected": "tarasul-letter+jws"}),
        ({"typ": "JWT"}, ErrorCode.TOKEN_TYPE_WRONG, {"found": "JWT", "expected": "tarasul-letter+jws"}),
        (
            {"typ": "TARASUL-LETTER+JWS"},
            ErrorCode.TOKEN_TYPE_WRONG,
            {"found": "TARASUL-LETTER+JWS", "expected": "tarasul-letter+jws"},
        ),
    ],
)
def test_a_header_that_leaves_something_to_choose_is_refused_though_its_signature_is_good(
    authority: MadeAuthority, changes: dict[str, Any], code: ErrorCode, params: dict[str, Any]
) -> None:
    error = refused(assembled(header_of(authority, **changes), b"{}", private_key(authority)))

    assert (error.code, error.params, error.signature_good) == (code, params, False)


def test_unsecured_token_without_signature_is_refused(authority: MadeAuthority) -> None:
    raw = b64(written(header_of(authority, alg="none"))) + b"." + b64(b"{}") + b"."

    assert refused(raw).code is ErrorCode.ALGORITHM_NOT_ALLOWED


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
def test_hmac_keyed_with_the_public_key_is_refused(authority: MadeAuthority, encoding: Encoding) -> None:
    public = authority.file_key("MPW").certificate.public_key()
    secret = public.public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)
    signing_input = b64(written(header_of(authority, alg="HS256"))) + b"." + b64(b"{}")
    raw = signing_input + b"." + b64(hmac.digest(secret, signing_input, "sha256"))

    assert refused(raw).code is ErrorCode.ALGORITHM_NOT_ALLOWED


@pytest.mark.parametrize(("real", "claimed"), list(permutations(TokenType, 2)))
def test_no_type_of_token_passes_for_another(authority: MadeAuthority, real: TokenType, claimed: TokenType) -> None:
    raw = assembled(header_of(authority, typ=real), b"{}", private_key(authority))

    error = refused(raw, claimed)

    assert error.code is ErrorCode.TOKEN_TYPE_WRONG
    assert error.params == {"found": real.value, "expected": claimed.value}


@pytest.mark.parametrize("typ", list(TokenType))
def test_a_reader_of_several_types_learns_which_one_it_is(authority: MadeAuthority, typ: TokenType) -> None:
    raw = assembled(header_of(authority, typ=typ), b"{}", private_key(authority))
    taken = (TokenType.LETTER, TokenType.RECEIPT)

    if typ in taken:
        assert stated_type(raw, taken) is typ
    else:
        with pytest.raises(VerificationError) as caught:
            stated_type(raw, taken)
        assert caught.value.code is ErrorCode.TOKEN_TYPE_WRONG


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"x" * (LIMITS[TokenType.LETTER].token + 1), ErrorCode.TOKEN_TOO_LARGE),
        (b"no dots at all", ErrorCode.TOKEN_MALFORMED),
        (b"e30=.e30.e30", ErrorCode.BASE64URL_INVALID),
        (b64(b'{"typ":"a","typ":"b"}') + b"..", ErrorCode.HEADER_MEMBER_DUPLICATE),
    ],
)
def test_a_reader_of_several_types_refuses_what_has_none(raw: bytes, code: ErrorCode) -> None:
    with pytest.raises(VerificationError) as caught:
        stated_type(raw, (TokenType.RECEIPT, TokenType.LETTER))

    assert caught.value.code is code


@pytest.mark.parametrize("member", ["alg", "typ", "kid", "x5t#S256", "iat", "unknown"])
def test_duplicate_member_of_the_header_is_refused_by_name(authority: MadeAuthority, member: str) -> None:
    header = header_of(authority) | {"unknown": 1}
    doubled = written(header)[:-1] + b"," + written(member) + b":" + written(header[member]) + b"}"

    error = refused(assembled(doubled, b"{}", private_key(authority)))

    assert (error.code, error.params) == (ErrorCode.HEADER_MEMBER_DUPLICATE, {"member": member})


def test_unknown_members_of_the_header_are_no_reason_to_refuse(authority: MadeAuthority) -> None:
    header = header_of(authority, later={"release": 2})

    assert open_token(assembled(header, b"{}", private_key(authority)), TokenType.LETTER).kid == header["kid"]


@pytest.mark.parametrize(
    "header",
    [b"", b"{", b"[]", b'"ES256"', b"null", b"\xef\xbb\xbf{}", b"\xff\xfe", b'{"iat":NaN}', b'{"iat":1.5}', b"{}{}"],
)
def test_a_header_that_is_no_strict_json_object_is_refused(authority: MadeAuthority, header: bytes) -> None:
    assert refused(assembled(header, b"{}", private_key(authority))).code is ErrorCode.TOKEN_MALFORMED


@pytest.mark.parametrize("raw", [b"", b".", b"..", b"e30.e30", b"e30.e30.e30.e30", b"e30.e30.e30.e30.e30"])
def test_anything_but_three_parts_is_refused(raw: bytes) -> None:
    assert refused(raw).code is ErrorCode.TOKEN_MALFORMED


def test_json_serialisation_is_refused(authority: MadeAuthority) -> None:
    protected, payload, signature = letter(authority).decode().split(".")

    raw = json.dumps({"protected": protected, "payload": payload, "signature": signature}).encode()

    assert refused(raw).code is ErrorCode.TOKEN_MALFORMED


def _surplus_bits(part: bytes) -> bytes:
    """The same bytes by another last character: bits that the decoder would throw away are set."""
    digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return part[:-1] + bytes([digits[digits.index(part[-1]) + 1]])


_DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "padded": lambda part: part + b"=" * (-len(part) % 4),
    "surplus bits": _surplus_bits,
    "one character too many": lambda part: part + b"A" * ((1 - len(part)) % 4),
    "line break": lambda part: part[:4] + b"\n" + part[4:-1],
    "space": lambda part: b" " + part[1:],
    "plus of the other alphabet": lambda part: b"+" + part[1:],
    "slash of the other alphabet": lambda part: b"/" + part[1:],
    "letter that is not ASCII": lambda part: "é".encode() + part[2:],
    "NUL": lambda part: b"\0" + part[1:],
}


@pytest.mark.parametrize("place", [0, 1, 2], ids=["header", "payload", "signature"])
@pytest.mark.parametrize("damage", list(_DAMAGES.values()), ids=list(_DAMAGES))
def test_base64url_has_one_spelling_in_every_part(
    authority: MadeAuthority, damage: Callable[[bytes], bytes], place: int
) -> None:
    # A header and a payload whose length is no multiple of three, so that padding and surplus bits exist.
    header = written(header_of(authority))
    header += b" " * (1 + (-len(header)) % 3)
    parts = assembled(header, b'{"a":1} ', private_key(authority)).split(b".")
    parts[place] = damage(parts[place])

    assert refused(b".".join(parts)).code is ErrorCode.BASE64URL_INVALID


def _of_size(authority: MadeAuthority, typ: TokenType, size: int) -> bytes:
    """A token of exactly ``size`` bytes."""
    for filler in range(4):
        head = b64(written(header_of(authority, typ=typ, filler="x" * filler)))
        left = size - len(head) - 88  # two dots and a signature of 86 characters
        if left % 4 != 1:
            payload = b64(b"x" * (left * 3 // 4))
            return head + b"." + payload + b"." + b64(b"s" * 64)
    raise AssertionError("one of four neighbouring lengths is possible")


@pytest.mark.parametrize("typ", list(TokenType))
def test_a_token_at_its_limit_is_opened_and_one_byte_more_is_refused(authority: MadeAuthority, typ: TokenType) -> None:
    limit = LIMITS[typ].token

    assert len(open_token(_of_size(authority, typ, limit), typ).text) == limit
    error = refused(_of_size(authority, typ, limit + 1), typ)

    assert (error.code, error.params) == (ErrorCode.TOKEN_TOO_LARGE, {"size": limit + 1, "limit": limit})


@pytest.mark.parametrize("typ", list(TokenType))
def test_a_header_at_its_limit_is_opened_and_one_byte_more_is_refused(authority: MadeAuthority, typ: TokenType) -> None:
    limit = LIMITS[typ].header
    header = written(header_of(authority, typ=typ))
    exact = header + b" " * (limit - len(header))

    assert open_token(assembled(exact, b"{}", private_key(authority)), typ).typ is typ
    error = refused(assembled(exact + b" ", b"{}", private_key(authority)), typ)

    assert (error.code, error.params) == (ErrorCode.TOKEN_TOO_LARGE, {"size": limit + 1, "limit": limit})


@pytest.mark.parametrize("typ", list(TokenType))
def test_the_largest_payload_under_the_largest_header_still_is_a_token(
    authority: MadeAuthority, typ: TokenType
) -> None:
    limits = LIMITS[typ]
    header = written(header_of(authority, typ=typ)).ljust(limits.header)

    raw = assembled(header, b"x" * limits.payload, private_key(authority))

    assert len(open_token(raw, typ).payload) == limits.payload


@pytest.mark.parametrize("typ", list(TokenType))
def test_a_payload_at_its_limit_is_read_and_one_byte_more_is_refused(authority: MadeAuthority, typ: TokenType) -> None:
    limit = LIMITS[typ].payload
    exact = b'{"body":"' + b"x" * (limit - 11) + b'"}'
    key = private_key(authority)

    token = open_token(assembled(header_of(authority, typ=typ), exact, key), typ)
    assert len(token.claims()["body"]) == limit - 11

    larger = open_token(assembled(header_of(authority, typ=typ), exact + b" ", key), typ)
    with pytest.raises(VerificationError) as caught:
        larger.claims()
    assert caught.value.code is ErrorCode.PAYLOAD_TOO_LARGE
    assert caught.value.params == {"size": limit + 1, "limit": limit}


async def test_the_signer_refuses_a_payload_that_nobody_would_take(authority: MadeAuthority) -> None:
    limit = LIMITS[TokenType.RECEIPT].payload
    signer = authority.signer("MPW")

    [token] = await signer.sign(TokenType.RECEIPT, [b"x" * limit], 0)
    assert len(open_token(token.text, TokenType.RECEIPT).payload) == limit
    with pytest.raises(VerificationError) as caught:
        await signer.sign(TokenType.RECEIPT, [b"{}", b"x" * (limit + 1)], 0)

    assert caught.value.code is ErrorCode.PAYLOAD_TOO_LARGE


async def test_every_token_of_a_batch_has_its_own_payload_digest_and_time(authority: MadeAuthority) -> None:
    signer = authority.signer("MOF")
    first = await signer.sign(TokenType.LETTER, [b'{"n":1}', b'{"n":2}'], 100)
    [later] = await signer.sign(TokenType.LETTER, [b'{"n":1}'], 101)
    [receipt] = await signer.sign(TokenType.RECEIPT, [b'{"n":1}'], 101)

    opened = [open_token(item.text, TokenType.LETTER) for item in (*first, later)]
    assert [token.claims()["n"] for token in opened] == [1, 2, 1]
    assert [token.iat for token in opened] == [100, 100, 101]
    assert [token.digest for token in opened] == [item.digest for item in (*first, later)]
    assert open_token(receipt.text, TokenType.RECEIPT).digest == receipt.digest
    assert len({item.digest for item in (*first, later, receipt)}) == 4
    assert first[0].digest == hashlib.sha256(first[0].text.rpartition(b".")[0]).hexdigest()
