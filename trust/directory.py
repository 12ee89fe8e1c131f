"""The directory: one signed, versioned token that says who is a member, with which keys.

It carries its own chain (``x5c``: directory certificate and issuing authority) up to the root that adapters pin, so
that it can be opened with nothing else at hand. Every key's chain is checked once, here; afterwards a signature check
is one look-up and one ECDSA verification.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc.jwk import ECKey

from schemas.directory import AgencyRecord, KeyEntry, KeyPurpose, RevocationKind, parse_directory
from schemas.errors import ErrorCode, Refused
from schemas.identifiers import AUTHORITY
from trust import ijson
from trust.certificates import base64_of, certificate_from, common_name, thumbprint, unit_name
from trust.chain import verify_chain
from trust.errors import VerificationError
from trust.keys import KeySource
from trust.token import TokenType, check_signature, digest_of, encode, open_token, protected_header

AGEING_DAYS = 7
GRACE_DAYS = 14

State = Literal["current", "ageing", "grace", "expired"]


@dataclass(frozen=True, slots=True)
class DirectoryKey:
    """One key, ready to check signatures with. Instants are aware."""

    kid: str
    agency: str
    purpose: str
    alg: str
    x5t: str
    not_before: datetime
    not_after: datetime
    revoked_at: datetime | None
    compromised: bool
    jose: ECKey


@dataclass(frozen=True, slots=True)
class AgencyEntry:
    """One member. Empty sets of types mean every registered type."""

    code: str
    name_ar: str
    name_en: str
    kind: str
    status: str
    successor: str | None
    units: tuple[str, ...]
    link_style: str
    accepted_types: frozenset[str]
    may_send: frozenset[str]

    def accepts(self, type_name: str) -> bool:
        return not self.accepted_types or type_name in self.accepted_types

    def may_send_type(self, type_name: str) -> bool:
        return not self.may_send or type_name in self.may_send


@dataclass(frozen=True, slots=True)
class Directory:
    """A verified directory. Look-ups are plain dictionaries."""

    version: int
    digest: str
    issued_at: datetime
    valid_until: datetime
    agencies: Mapping[str, AgencyEntry]
    keys: Mapping[str, DirectoryKey]

    @classmethod
    def open(
        cls,
        raw: bytes,
        anchors: Sequence[x509.Certificate],
        now: datetime,
        *,
        newer_than: int | None = None,
    ) -> "Directory":
        """Verify a directory up to a pinned root.

        Args:
            raw: the token.
            anchors: pinned roots.
            now: the instant of the check, aware.
            newer_than: version in use before: an older one is refused, the same one is not.

        Raises:
            VerificationError: whatever does not hold; ``directory_expired`` after its validity and grace,
                ``directory_rolled_back``, ``directory_malformed``.
        """
        token = open_token(raw.strip(), TokenType.DIRECTORY)
        if len(token.x5c) != 2:  # noqa: PLR2004 - directory certificate and issuing authority
            raise VerificationError(ErrorCode.DIRECTORY_MALFORMED, problem="x5c holds two certificates")
        leaf, issuer = (certificate_from(text) for text in token.x5c)
        # Judged at the time of signing: a directory outlives its signing certificate by no more than its grace.
        signed_at = datetime.fromtimestamp(token.iat, now.tzinfo)
        if signed_at > now + timedelta(minutes=5):
            raise VerificationError(ErrorCode.ISSUED_IN_FUTURE)
        verify_chain(leaf, [issuer], anchors, signed_at)
        if (common_name(leaf), unit_name(leaf)) != (AUTHORITY, KeyPurpose.DIRECTORY.value):
            raise VerificationError(
                ErrorCode.KEY_WRONG_PURPOSE,
                key=token.kid,
                found=unit_name(leaf),
                expected=KeyPurpose.DIRECTORY.value,
            )
        check_signature(token, _SigningKey("ES256", thumbprint(leaf), _jose(leaf)))
        try:
            payload = parse_directory(token.claims())
        except VerificationError:
            raise
        except Refused as refusal:
            raise VerificationError(ErrorCode.DIRECTORY_MALFORMED, problem=str(refusal)) from refusal
        valid_until = datetime.fromisoformat(payload.valid_until)
        if now > valid_until + timedelta(days=GRACE_DAYS):
            raise VerificationError(ErrorCode.DIRECTORY_EXPIRED, version=payload.version)
        if newer_than is not None and payload.version < newer_than:
            raise VerificationError(
                ErrorCode.DIRECTORY_ROLLED_BACK, version=payload.version, newest=newer_than
            )
        issuers = [certificate_from(text) for text in payload.issuers]
        agencies, keys = _read(payload.agencies, issuers, anchors)
        return cls(
            payload.version,
            token.digest,
            datetime.fromisoformat(payload.issued_at),
            valid_until,
            agencies,
            keys,
        )

    def agency(self, code: str) -> AgencyEntry | None:
        return self.agencies.get(code)

    def key(self, kid: str) -> DirectoryKey | None:
        return self.keys.get(kid)

    def state(self, now: datetime) -> State:
        """``current``; ``ageing`` in its last 7 days; ``grace`` for 14 days after them; then ``expired``."""
        if now > self.valid_until + timedelta(days=GRACE_DAYS):
            return "expired"
        if now > self.valid_until:
            return "grace"
        return "ageing" if now > self.valid_until - timedelta(days=AGEING_DAYS) else "current"


@dataclass(frozen=True, slots=True)
class _SigningKey:
    alg: str
    x5t: str
    jose: ECKey


async def sign_directory(
    payload: Mapping[str, Any], key: KeySource, issuer: x509.Certificate, now: int
) -> bytes:
    """Sign a directory's payload; ``issuer`` is the authority that issued the directory key's certificate."""
    chain = [base64_of(key.certificate), base64_of(issuer)]
    header = protected_header(key, TokenType.DIRECTORY, now, chain)
    signing_input = encode(header) + b"." + encode(ijson.dump(payload))
    [signature] = await key.sign([bytes.fromhex(digest_of(signing_input))])
    return signing_input + b"." + encode(signature)


def _read(
    records: Sequence[AgencyRecord],
    issuers: Sequence[x509.Certificate],
    anchors: Sequence[x509.Certificate],
) -> tuple[dict[str, AgencyEntry], dict[str, DirectoryKey]]:
    agencies: dict[str, AgencyEntry] = {}
    keys: dict[str, DirectoryKey] = {}
    for number, record in enumerate(records):
        if record.code in agencies:
            raise VerificationError(ErrorCode.DIRECTORY_MALFORMED, problem=f"{record.code} stands twice")
        agencies[record.code] = AgencyEntry(
            record.code,
            record.name_ar,
            record.name_en,
            record.kind,
            record.status.value,
            record.successor,
            tuple(record.units),
            record.link_style,
            frozenset(record.accepted_types),
            frozenset(record.may_send),
        )
        for position, entry in enumerate(record.keys):
            pointer = f"/agencies/{number}/keys/{position}"
            if entry.kid in keys:
                raise VerificationError(
                    ErrorCode.DIRECTORY_MALFORMED, pointer=pointer, problem=f"{entry.kid} stands twice"
                )
            keys[entry.kid] = _read_key(record.code, entry, issuers, anchors, pointer)
    return agencies, keys


def _read_key(
    code: str,
    entry: KeyEntry,
    issuers: Sequence[x509.Certificate],
    anchors: Sequence[x509.Certificate],
    pointer: str,
) -> DirectoryKey:
    certificate = certificate_from(entry.certificate)
    if (common_name(certificate), unit_name(certificate)) != (code, entry.purpose):
        raise VerificationError(
            ErrorCode.DIRECTORY_MALFORMED,
            pointer=pointer,
            problem=f"{entry.kid}: the certificate is of {common_name(certificate)} for {unit_name(certificate)}",
        )
    # As of its first day: whether it is valid now is asked at each use.
    verify_chain(certificate, issuers, anchors, certificate.not_valid_before_utc)
    return DirectoryKey(
        kid=entry.kid,
        agency=code,
        purpose=entry.purpose,
        alg=entry.alg,
        x5t=thumbprint(certificate),
        not_before=max(datetime.fromisoformat(entry.not_before), certificate.not_valid_before_utc),
        not_after=min(datetime.fromisoformat(entry.not_after), certificate.not_valid_after_utc),
        revoked_at=datetime.fromisoformat(entry.revoked_at) if entry.revoked_at else None,
        compromised=entry.revocation is RevocationKind.COMPROMISED,
        jose=_jose(certificate),
    )


def _jose(certificate: x509.Certificate) -> ECKey:
    key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise VerificationError(ErrorCode.DIRECTORY_MALFORMED, problem="a key is not P-256")
    return ECKey.import_key(key)
