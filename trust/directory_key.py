"""A key as the directory has it, checked and ready to verify with."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, Self

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from joserfc.jwk import ECKey, OKPKey

from trust.certificates import certificate_digest


@dataclass(frozen=True, slots=True)
class DirectoryKey:
    """One key of one agency, for one purpose and one algorithm.

    Attributes:
        kid: its name in token headers.
        agency: code of its owner.
        purpose: as :class:`schemas.directory.KeyPurpose` has it.
        alg: the one JWS algorithm that it is pinned to.
        x5t: base64url of the SHA-256 of its certificate.
        not_before, not_after: validity, the narrower of entry and certificate.
        revoked_at: from when on it no longer counts.
        compromised: revoked because somebody else may have it: nothing that it signed is believed unseen.
        certificate: its certificate, whose chain to the pinned root was checked when the directory was opened.
        public_key: for the JOSE library.
    """

    ALGORITHMS: ClassVar[frozenset[str]] = frozenset({"ES256"})
    """That a certificate's key can be pinned to: certificates are P-256."""

    kid: str
    agency: str
    purpose: str
    alg: str
    x5t: str
    not_before: datetime
    not_after: datetime
    revoked_at: datetime | None
    compromised: bool
    certificate: x509.Certificate = field(repr=False)
    public_key: ECKey | OKPKey = field(repr=False)

    @classmethod
    def of_certificate(
        cls,
        certificate: x509.Certificate,
        kid: str,
        agency: str,
        purpose: str,
        *,
        not_before: datetime | None = None,
        not_after: datetime | None = None,
        revoked_at: datetime | None = None,
        compromised: bool = False,
    ) -> Self:
        """The ES256 key of a P-256 certificate that was found good."""
        valid_from, valid_to = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        pem = certificate.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return cls(
            kid=kid,
            agency=agency,
            purpose=purpose,
            alg="ES256",
            x5t=certificate_digest(certificate),
            not_before=valid_from if not_before is None else max(valid_from, not_before),
            not_after=valid_to if not_after is None else min(valid_to, not_after),
            revoked_at=revoked_at,
            compromised=compromised,
            certificate=certificate,
            public_key=ECKey.import_key(pem),
        )
