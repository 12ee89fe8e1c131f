"""Signed tokens: compact JWS (RFC 7515), read strictly, in two steps.

:func:`open_token` checks everything that can be checked without a key; :func:`check_signature` checks the signature
with one key, pinned to its algorithm. The payload is parsed last, by :meth:`OpenedToken.claims`, so that an authentic
but malformed payload can be told from a forgery.

The *digest* of a token is SHA-256 of its signing input (the bytes before the last dot). The signature is no part of
it: ECDSA is malleable, (r, n−s) verifies too.
"""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from joserfc.jws import JWSRegistry

from schemas.errors import ErrorCode
from trust import ijson
from trust.errors import VerificationError
from trust.keys import KeySource, PublicKey


class TokenType(StrEnum):
    """The ``typ`` of each kind of token: none can be passed off as another."""

    LETTER = "tarasul-letter+jws"
    RECEIPT = "secevent+jwt"
    DIRECTORY = "tarasul-directory+jws"
    DEAD_LETTER = "tarasul-dead-letter+jws"
    REDELIVERY = "tarasul-redelivery+jws"
    INCIDENT = "tarasul-incident+jws"


@dataclass(frozen=True, slots=True)
class Limit:
    """Bytes at most of the whole token, and of its decoded payload."""

    token: int
    payload: int


_SMALL = Limit(32 * 1024, 16 * 1024)
LIMITS: Mapping[TokenType, Limit] = {
    TokenType.LETTER: Limit(350 * 1024, 256 * 1024),
    TokenType.RECEIPT: _SMALL,
    TokenType.DEAD_LETTER: _SMALL,
    TokenType.REDELIVERY: _SMALL,
    TokenType.INCIDENT: _SMALL,
    TokenType.DIRECTORY: Limit(16 * 1024 * 1024, 8 * 1024 * 1024),
}
LARGEST_HEADER = 1024
LARGEST_DIRECTORY_HEADER = 16 * 1024
ALGORITHMS = frozenset({"ES256", "Ed25519"})
FORBIDDEN_MEMBERS = frozenset({"crit", "b64", "jwk", "jku", "x5u", "x5c", "x5t", "zip"})
"""Members by which a token could bring its own key, or its own rules."""

_ALPHABET = re.compile(rb"[A-Za-z0-9_-]*")
_KID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_ENGINES = {name: JWSRegistry.algorithms[name] for name in ALGORITHMS if name in JWSRegistry.algorithms}


@dataclass(frozen=True, slots=True)
class OpenedToken:
    """A token that is well-formed. Nothing in it is believed yet."""

    raw: bytes
    type: TokenType
    alg: str
    kid: str
    x5t: str
    iat: int
    x5c: tuple[str, ...]
    signing_input: bytes
    signature: bytes
    digest: str
    payload: bytes

    def claims(self) -> dict[str, Any]:
        """The payload as strict JSON.

        Raises:
            VerificationError: with the code of what is wrong in it.
        """
        return ijson.parse(self.payload, max_bytes=LIMITS[self.type].payload)


@dataclass(frozen=True, slots=True)
class SignedToken:
    """A token that we made: its bytes and its digest."""

    text: bytes
    digest: str


def encode(raw: bytes) -> bytes:
    """Base64url without padding (RFC 7515, 2)."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def decode(text: bytes, part: str) -> bytes:
    """Canonical base64url: no padding, no other alphabet, no stray trailing bits.

    Raises:
        VerificationError: ``base64url_invalid``.
    """
    if _ALPHABET.fullmatch(text) is None:
        raise VerificationError(ErrorCode.BASE64URL_INVALID, part=part)
    try:
        raw = base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
    except (binascii.Error, ValueError) as error:
        raise VerificationError(ErrorCode.BASE64URL_INVALID, part=part) from error
    # The last character may carry bits that decode to nothing: many spellings of the same bytes.
    if len(text) % 4 and encode(raw[-(len(raw) % 3) :])[-1:] != text[-1:]:
        raise VerificationError(ErrorCode.BASE64URL_INVALID, part=part)
    return raw


def digest_of(signing_input: bytes) -> str:
    """The identity of a token: 64 hex digits."""
    return hashlib.sha256(signing_input).hexdigest()


def open_token(raw: bytes, expected: TokenType) -> OpenedToken:
    """Take a token apart, without any cryptography.

    Raises:
        VerificationError: for everything that is not a well-formed token of the expected type, each with its code.
    """
    limit = LIMITS[expected]
    if len(raw) > limit.token:
        raise VerificationError(ErrorCode.TOKEN_TOO_LARGE, size=len(raw), limit=limit.token)
    parts = raw.split(b".")
    if len(parts) != 3 or not all(parts):  # noqa: PLR2004 - header, payload, signature
        raise VerificationError(ErrorCode.TOKEN_MALFORMED, problem="three parts are expected")
    header = _header(parts[0], expected)
    found = header.get("typ")
    if found != expected:
        raise VerificationError(ErrorCode.TOKEN_TYPE_WRONG, found=str(found)[:64], expected=expected.value)
    payload = decode(parts[1], "payload")
    if len(payload) > limit.payload:
        raise VerificationError(ErrorCode.PAYLOAD_TOO_LARGE, size=len(payload), limit=limit.payload)
    signing_input = raw[: len(parts[0]) + 1 + len(parts[1])]
    return OpenedToken(
        raw=raw,
        type=expected,
        alg=header["alg"],
        kid=header["kid"],
        x5t=header["x5t#S256"],
        iat=header["iat"],
        x5c=tuple(header.get("x5c", ())),
        signing_input=signing_input,
        signature=decode(parts[2], "signature"),
        digest=digest_of(signing_input),
        payload=payload,
    )


def _header(part: bytes, expected: TokenType) -> dict[str, Any]:
    largest = LARGEST_DIRECTORY_HEADER if expected is TokenType.DIRECTORY else LARGEST_HEADER
    raw = decode(part, "header")
    if len(raw) > largest:
        raise VerificationError(ErrorCode.HEADER_MALFORMED, problem=f"larger than {largest} bytes")
    try:
        header: dict[str, Any] = ijson.parse(raw, max_bytes=largest, max_depth=4)
    except VerificationError as error:
        if error.code is ErrorCode.PAYLOAD_MEMBER_DUPLICATE:
            raise VerificationError(ErrorCode.HEADER_MEMBER_DUPLICATE, **error.params) from error
        raise VerificationError(ErrorCode.HEADER_MALFORMED, problem=str(error)) from error
    forbidden = FORBIDDEN_MEMBERS & header.keys()
    if expected is TokenType.DIRECTORY:
        forbidden -= {"x5c"}
    if forbidden:
        raise VerificationError(ErrorCode.HEADER_MEMBER_FORBIDDEN, member=min(forbidden))
    if header.get("alg") not in ALGORITHMS:
        raise VerificationError(ErrorCode.ALGORITHM_NOT_ALLOWED, algorithm=str(header.get("alg"))[:32])
    kid, x5t, iat = header.get("kid"), header.get("x5t#S256"), header.get("iat")
    if not isinstance(kid, str) or _KID.fullmatch(kid) is None:
        raise VerificationError(ErrorCode.HEADER_MALFORMED, problem="kid")
    if not isinstance(x5t, str) or len(x5t) != 43:  # noqa: PLR2004 - 32 bytes in base64url
        raise VerificationError(ErrorCode.HEADER_MALFORMED, problem="x5t#S256")
    if not isinstance(iat, int) or isinstance(iat, bool) or iat < 0:
        raise VerificationError(ErrorCode.HEADER_MALFORMED, problem="iat")
    chain = header.get("x5c", [])
    if not isinstance(chain, list) or not all(isinstance(item, str) for item in chain):
        raise VerificationError(ErrorCode.HEADER_MALFORMED, problem="x5c")
    return header


def check_signature(token: OpenedToken, key: PublicKey) -> None:
    """Verify ``token`` with ``key``, by the one algorithm that the key is pinned to.

    Raises:
        VerificationError: ``algorithm_mismatch``, ``certificate_digest_mismatch`` or ``signature_invalid``.
    """
    if token.alg != key.alg:
        raise VerificationError(ErrorCode.ALGORITHM_MISMATCH, algorithm=token.alg)
    if token.x5t != key.x5t:
        raise VerificationError(ErrorCode.CERTIFICATE_DIGEST_MISMATCH, key=token.kid)
    try:
        good = _ENGINES[key.alg].verify(token.signing_input, token.signature, key.jose)
    except Exception as error:  # noqa: BLE001 - whatever the library meets in a signature, it is not a good one
        raise VerificationError(ErrorCode.SIGNATURE_INVALID) from error
    if not good:
        raise VerificationError(ErrorCode.SIGNATURE_INVALID)


class Signer:
    """Signs tokens with one key.

    Args:
        key: where the private key is.
    """

    def __init__(self, key: KeySource) -> None:
        self._key = key
        self._headers: dict[TokenType, tuple[int, bytes]] = {}

    async def sign(self, kind: TokenType, payloads: Sequence[bytes], now: int) -> list[SignedToken]:
        """Sign each payload as a token of ``kind``.

        Args:
            kind: its type.
            payloads: JSON as it will travel.
            now: Unix seconds, for ``iat``.
        """
        header = self._header(kind, now)
        inputs = [header + b"." + encode(payload) for payload in payloads]
        digests = [hashlib.sha256(signing_input).digest() for signing_input in inputs]
        signatures = await self._key.sign(digests)
        return [
            SignedToken(signing_input + b"." + encode(signature), digest.hex())
            for signing_input, digest, signature in zip(inputs, digests, signatures, strict=True)
        ]

    def _header(self, kind: TokenType, now: int) -> bytes:
        known = self._headers.get(kind)
        if known is None or known[0] != now:
            known = now, encode(protected_header(self._key, kind, now))
            self._headers[kind] = known
        return known[1]


def protected_header(
    key: KeySource, kind: TokenType, now: int, chain: Sequence[str] = ()
) -> bytes:
    """The JSON of a protected header; ``chain`` (base64 of DER) only for directories."""
    members: dict[str, Any] = {
        "alg": key.alg,
        "typ": kind.value,
        "kid": key.kid,
        "x5t#S256": key.x5t,
        "iat": now,
    }
    if chain:
        members["x5c"] = list(chain)
    return json.dumps(members, separators=(",", ":")).encode("ascii")
