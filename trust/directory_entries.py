"""Keys as entries of the directory: written from certificates, and read back only when entry and certificate agree."""

import base64
import binascii
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from schemas.directory import KeyEntry, KeyPurpose, RevocationKind
from schemas.errors import ErrorCode
from trust.certificates import certificate_owner, certificate_purpose, key_id, load_certificate
from trust.directory_key import DirectoryKey
from trust.errors import VerificationError

_PURPOSES = frozenset(purpose.value for purpose in KeyPurpose)


def encode_certificate(certificate: x509.Certificate) -> str:
    """Base64 of the DER, as in ``x5c`` (RFC 7515 §4.1.6), in ``issuers`` and in key entries."""
    return base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode("ascii")


def decode_certificate(text: str) -> x509.Certificate:
    """The certificate.

    Raises:
        ValueError: not canonical base64, or no certificate.
    """
    der = binascii.a2b_base64(text.encode("ascii"), strict_mode=True)
    certificate = load_certificate(der, x509.load_der_x509_certificate)
    if encode_certificate(certificate) != text:
        raise ValueError("not canonical")
    return certificate


def describe_key(
    certificate: x509.Certificate,
    *,
    revoked_at: datetime | None = None,
    revocation: RevocationKind | None = None,
) -> dict[str, Any]:
    """The directory entry of a certificate's key."""
    entry: dict[str, Any] = {
        "kid": key_id(certificate),
        "purpose": certificate_purpose(certificate),
        "alg": "ECDH-ES+A256KW" if certificate_purpose(certificate) == KeyPurpose.ENVELOPE else "ES256",
        "not_before": _written(certificate.not_valid_before_utc),
        "not_after": _written(certificate.not_valid_after_utc),
        "certificate": encode_certificate(certificate),
    }
    if revoked_at is not None:
        entry["revoked_at"] = _written(revoked_at)
        entry["revocation"] = (revocation or RevocationKind.ORDINARY).value
    return entry


def read_key_entry(entry: KeyEntry, agency: str, pointer: str) -> DirectoryKey | None:
    """The key of an entry; None when its purpose or algorithm is not known to this release.

    Args:
        entry: from the directory.
        agency: the member that it stands under.
        pointer: of the entry, for the refusal.

    Raises:
        VerificationError: ``directory_malformed`` when certificate and entry disagree.
    """
    # No key of a future kind, which a newer authority may list, must keep this release from reading the rest.
    if entry.purpose not in _PURPOSES or entry.alg not in DirectoryKey.ALGORITHMS:
        return None
    try:
        certificate = decode_certificate(entry.certificate)
    except ValueError:
        raise malformed(f"{pointer}/certificate", "ليست شهادة", "no certificate") from None
    public_key = certificate.public_key()
    if not isinstance(public_key, ec.EllipticCurvePublicKey) or not isinstance(public_key.curve, ec.SECP256R1):
        raise malformed(f"{pointer}/certificate", "مفتاحها ليس من نوع P-256", "its key is not a P-256 key")
    if certificate_owner(certificate) != agency:
        raise malformed(f"{pointer}/certificate", f"لم تصدر للجهة {agency}", f"it was not issued to {agency}")
    if certificate_purpose(certificate) != entry.purpose:
        raise malformed(f"{pointer}/purpose", "صدرت الشهادة لغرض آخر", "the certificate was issued for another purpose")
    not_before = _read(entry.not_before, f"{pointer}/not_before")
    not_after = _read(entry.not_after, f"{pointer}/not_after")
    revoked_at = None if entry.revoked_at is None else _read(entry.revoked_at, f"{pointer}/revoked_at")
    if revoked_at is None and entry.revocation is not None:
        raise malformed(f"{pointer}/revoked_at", "إلغاء دون وقته", "a revocation without an instant")
    return DirectoryKey.of_certificate(
        certificate,
        entry.kid,
        agency,
        entry.purpose,
        not_before=not_before,
        not_after=not_after,
        revoked_at=revoked_at,
        compromised=entry.revocation is RevocationKind.COMPROMISED,
    )


def malformed(pointer: str | None, ar: str, en: str) -> VerificationError:
    return VerificationError(ErrorCode.DIRECTORY_MALFORMED, pointer=pointer, problem_ar=ar, problem=en)


def _written(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="seconds")


def _read(text: str, pointer: str) -> datetime:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise malformed(pointer, "لا وجود لهذا الوقت", "no such instant") from None
