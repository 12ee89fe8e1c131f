"""Signed tokens: compact JWS (RFC 7515), one protected header, nothing left to the reader's judgement.

    token = open_token(body, TokenType.LETTER)   # shape only: nothing is believed yet
    key = verify(token, directory, purpose="seal", now=now)
    claims = token.claims()

A token's identity is its **digest**: SHA-256 of the signing input, the bytes before the last dot. The
signature is no part of it, because ECDSA is malleable: of (r, s) anybody can make (r, n-s), which verifies
too.
"""

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from joserfc.errors import JoseError
from joserfc.jws import JWSRegistry

from schemas.errors import ErrorCode
from trust import base64url, ijson
from trust.directory_key import DirectoryKey
from trust.errors import VerificationError
from trust.keys import KeySource


class TokenType(StrEnum):
    """What a token is, as its header's ``typ`` says, so that none can be passed off as another."""

    LETTER = "tarasul-letter+jws"
    RECEIPT = "secevent+jwt"
    DIRECTORY = "tarasul-directory+jws"
    DEAD_LETTER = "tarasul-dead-letter+jws"
    REDELIVERY = "tarasul-redelivery+jws"
    INCIDENT = "tarasul-incident+jws"


@dataclass(frozen=True, slots=True)
class Limits:
    """Longest taken, in bytes.

    Attributes:
        payload: the JSON, decoded.
        token: the whole JWS.
        header: the protected header, decoded.
    """

    payload: int
    token: int
    header: int = 4096


LIMITS: Final[Mapping[TokenType, Limits]] = {
    TokenType.LETTER: Limits(payload=256 * 1024, token=350 * 1024),
    TokenType.RECEIPT: Limits(payload=16 * 1024, token=28 * 1024),
    # In base64url the largest payload and the largest header must fit the token: a third more, and the signature.
    TokenType.DIRECTORY: Limits(payload=(6 * 1024 - 64) * 1024, token=8 * 1024 * 1024, header=16 * 1024),
    # A statement travels in an AMQP header, which with all others must fit one frame.
    TokenType.DEAD_LETTER: Limits(payload=16 * 1024, token=28 * 1024),
    TokenType.REDELIVERY: Limits(payload=16 * 1024, token=28 * 1024),
    TokenType.INCIDENT: Limits(payload=16 * 1024, token=28 * 1024),
}

ALGORITHMS: Final = frozenset({"ES256", "Ed25519"})
"""Signature algorithms that a token may name. The key's entry in the directory pins one."""

# Each would let the token itself say with what, or how, it is to be verified (RFC 7515 §4.1, RFC 7797, RFC
# 7516).
_FORBIDDEN: Final = frozenset({"crit", "b64", "jwk", "jku", "x5u", "x5c", "zip"})
_FORBIDDEN_IN_DIRECTORY: Final = _FORBIDDEN - {"x5c"}
_MOST_CERTIFICATES = 4
_KID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_X5T = re.compile(r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]")  # 32 bytes: the last character has two surplus bits
_DOTS = 2


@dataclass(frozen=True, slots=True)
class OpenedToken:
    """A token taken apart. Nothing in it is believed before :func:`trust.verification.verify`.

    Attributes:
        text: as received.
        alg, typ, kid, iat: of the header; ``iat`` in seconds since 1970. It decides nothing.
        x5t: ``x5t#S256``, base64url of the certificate's SHA-256.
        x5c: certificates that a directory brings along, base64 of DER; empty for all other types.
        signing_input: the bytes before the last dot.
        signature: decoded.
        digest: SHA-256 of the signing input, 64 lower-case hexadecimal digits: the token's identity.
        payload: decoded from base64url, not yet read as JSON.
    """

    text: bytes
    alg: str
    typ: TokenType
    kid: str
    x5t: str
    iat: int
    x5c: tuple[str, ...]
    signing_input: bytes
    signature: bytes
    digest: str
    payload: bytes

    def claims(self) -> dict[str, Any]:
        """The payload, read strictly: a step of its own, as an authentic but malformed one is answered.

        Raises:
            VerificationError: see :func:`trust.ijson.parse`.
        """
        return ijson.parse(self.payload, max_bytes=LIMITS[self.typ].payload)


def open_token(raw: bytes, expected: TokenType) -> OpenedToken:
    """Take a token apart and refuse every shape but the one.

    Raises:
        VerificationError: ``token_too_large``, ``token_malformed``, ``base64url_invalid``,
            ``header_member_duplicate``, ``token_type_wrong`` (params: found, expected),
            ``header_member_forbidden``, ``header_member_invalid`` or ``algorithm_not_allowed``.
    """
    limits = LIMITS[expected]
    if len(raw) > limits.token:
        raise VerificationError(ErrorCode.TOKEN_TOO_LARGE, size=len(raw), limit=limits.token)
    parts = raw.split(b".", _DOTS + 1)
    if len(parts) != _DOTS + 1:
        raise VerificationError(ErrorCode.TOKEN_MALFORMED)
    header = _read_header(base64url.decode(parts[0]), limits.header)
    typ = header.get("typ")
    if typ != expected.value:
        raise VerificationError(ErrorCode.TOKEN_TYPE_WRONG, found=typ, expected=expected.value)
    forbidden = _FORBIDDEN_IN_DIRECTORY if expected is TokenType.DIRECTORY else _FORBIDDEN
    if not forbidden.isdisjoint(header):
        raise VerificationError(ErrorCode.HEADER_MEMBER_FORBIDDEN, member=min(forbidden.intersection(header)))
    alg = header.get("alg")
    if type(alg) is not str or alg not in ALGORITHMS:
        raise VerificationError(ErrorCode.ALGORITHM_NOT_ALLOWED, alg=alg)
    kid, x5t, iat = header.get("kid"), header.get("x5t#S256"), header.get("iat")
    if type(kid) is not str or not _KID.fullmatch(kid):
        raise VerificationError(ErrorCode.HEADER_MEMBER_INVALID, member="kid")
    if type(x5t) is not str or not _X5T.fullmatch(x5t):
        raise VerificationError(ErrorCode.HEADER_MEMBER_INVALID, member="x5t#S256")
    if type(iat) is not int or iat < 0:
        raise VerificationError(ErrorCode.HEADER_MEMBER_INVALID, member="iat")
    signing_input = raw[: -len(parts[2]) - 1]
    return OpenedToken(
        text=raw,
        alg=alg,
        typ=expected,
        kid=kid,
        x5t=x5t,
        iat=iat,
        x5c=_certificates(header["x5c"]) if "x5c" in header else (),
        signing_input=signing_input,
        signature=base64url.decode(parts[2]),
        digest=hashlib.sha256(signing_input).hexdigest(),
        payload=base64url.decode(parts[1]),
    )


def identity_of(raw: bytes) -> str:
    """SHA-256 of what would be the signing input if ``raw`` were a token; of all of ``raw`` if it cannot be one.

    For whoever speaks of bytes that it has put aside unopened: of a genuine token it says the token's digest.
    """
    return hashlib.sha256(raw.rpartition(b".")[0] if raw.count(b".") == _DOTS else raw).hexdigest()


def stated_type(raw: bytes, among: Collection[TokenType]) -> TokenType:
    """Which of ``among`` a token says it is, for a reader that takes several kinds; :func:`open_token` comes next.

    Raises:
        VerificationError: ``token_too_large``, ``token_malformed``, ``base64url_invalid``,
            ``header_member_duplicate`` or ``token_type_wrong``.
    """
    limit = max(LIMITS[typ].token for typ in among)
    if len(raw) > limit:
        raise VerificationError(ErrorCode.TOKEN_TOO_LARGE, size=len(raw), limit=limit)
    first, dot, _ = raw.partition(b".")
    if not dot:
        raise VerificationError(ErrorCode.TOKEN_MALFORMED)
    found = _read_header(base64url.decode(first), max(LIMITS[typ].header for typ in among)).get("typ")
    for typ in among:
        if found == typ.value:
            return typ
    raise VerificationError(ErrorCode.TOKEN_TYPE_WRONG, found=found, expected=", ".join(among))


def check_signature(token: OpenedToken, key: DirectoryKey) -> None:
    """Verify the signature with ``key``, by the one algorithm that the directory has for it.

    Raises:
        VerificationError: ``algorithm_mismatch``, ``certificate_digest_mismatch`` or ``signature_invalid``.
    """
    if token.alg != key.alg or token.alg not in ALGORITHMS:
        raise VerificationError(ErrorCode.ALGORITHM_MISMATCH, alg=token.alg)
    if token.x5t != key.x5t:
        raise VerificationError(ErrorCode.CERTIFICATE_DIGEST_MISMATCH, kid=key.kid)
    try:
        good = JWSRegistry.algorithms[key.alg].verify(token.signing_input, token.signature, key.public_key)
    except (ValueError, TypeError, OverflowError, JoseError):
        good = False
    if not good:
        raise VerificationError(ErrorCode.SIGNATURE_INVALID, kid=key.kid)


def _read_header(raw: bytes, limit: int) -> dict[str, Any]:
    if len(raw) > limit:
        raise VerificationError(ErrorCode.TOKEN_TOO_LARGE, size=len(raw), limit=limit)
    try:
        return ijson.parse(raw, max_bytes=limit)
    except VerificationError as error:
        if error.code is ErrorCode.PAYLOAD_MEMBER_DUPLICATE:
            raise VerificationError(ErrorCode.HEADER_MEMBER_DUPLICATE, member=error.params["member"]) from None
        raise VerificationError(ErrorCode.TOKEN_MALFORMED) from error


def _certificates(value: object) -> tuple[str, ...]:
    if (
        not isinstance(value, list)
        or not 1 <= len(value) <= _MOST_CERTIFICATES
        or not all(isinstance(item, str) for item in value)
    ):
        raise VerificationError(ErrorCode.HEADER_MEMBER_INVALID, member="x5c")
    return tuple(value)


@dataclass(frozen=True, slots=True)
class SignedToken:
    """A token just signed.

    Attributes:
        text: the compact JWS.
        digest: its identity, as :attr:`OpenedToken.digest`.
    """

    text: bytes
    digest: str


class Signer:
    """Signs payloads in batches with one key.

    Args:
        key: where the signatures come from.
        certificates: put into the header as ``x5c``, base64 of DER; a directory's only.
    """

    def __init__(self, key: KeySource, certificates: Sequence[str] = ()) -> None:
        self.key = key
        self._certificates = list(certificates)
        self._prefix: tuple[TokenType, int, bytes] | None = None

    async def sign(self, typ: TokenType, payloads: Sequence[bytes], now: int) -> list[SignedToken]:
        """Sign ``payloads``, each into one token.

        Args:
            typ: of all of them.
            payloads: JSON as :func:`trust.ijson.dump` writes it.
            now: seconds since 1970, for ``iat``.

        Raises:
            VerificationError: ``payload_too_large``: nobody would take it.
        """
        limit = LIMITS[typ].payload
        prefix = self._header(typ, now)
        signing_inputs = []
        for payload in payloads:
            if len(payload) > limit:
                raise VerificationError(ErrorCode.PAYLOAD_TOO_LARGE, size=len(payload), limit=limit)
            signing_inputs.append(prefix + base64url.encode(payload))
        hashes = [hashlib.sha256(signing_input) for signing_input in signing_inputs]
        signatures = await self.key.sign([item.digest() for item in hashes])
        return [
            SignedToken(signing_input + b"." + base64url.encode(signature), item.hexdigest())
            for signing_input, signature, item in zip(signing_inputs, signatures, hashes, strict=True)
        ]

    def _header(self, typ: TokenType, now: int) -> bytes:
        if self._prefix is not None and self._prefix[:2] == (typ, now):
            return self._prefix[2]
        header: dict[str, object] = {
            "alg": self.key.alg,
            "typ": typ.value,
            "kid": self.key.kid,
            "x5t#S256": self.key.x5t,
            "iat": now,
        }
        if self._certificates:
            header["x5c"] = self._certificates
        prefix = base64url.encode(ijson.dump(header)) + b"."
        self._prefix = (typ, now, prefix)
        return prefix
