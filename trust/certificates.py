"""Certificates: a root that signs issuing authorities only, and what those issue.

Two levels. The root is used a few times in its life, from a folder of its own that is kept offline, and adapters pin
its certificate. The issuing authority signs the certificates of agencies, of the broker and of the authority's own
signing keys. Everything is P-256: the one curve that TLS, Erlang, every HSM and the path check below agree on.
"""

import base64
import hashlib
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from schemas.directory import KeyPurpose
from schemas.errors import ErrorCode
from trust.errors import VerificationError

ORGANISATION = "Tarasul"
ROOT_YEARS = 20
ISSUER_YEARS = 10
_BACKDATED = timedelta(minutes=5)
"""A certificate counts a little before it is made, for clocks that are behind."""


@dataclass(frozen=True, slots=True)
class CertificateAuthority:
    """A key that signs certificates, and its own certificate."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    def issue_authority(self, name: str, public_key: ec.EllipticCurvePublicKey, now: datetime) -> x509.Certificate:
        """The certificate of an issuing authority: may sign certificates of ends, no further authorities."""
        return (
            _builder(_subject(name, "issuing"), self.certificate.subject, public_key, now, 365 * ISSUER_YEARS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(_key_of(self.certificate), critical=False)
            .sign(self.key, hashes.SHA256())
        )

    def issue(
        self, code: str, purpose: KeyPurpose, public_key: ec.EllipticCurvePublicKey, now: datetime, days: int
    ) -> x509.Certificate:
        """The certificate of one key of ``code``.

        The common name is the code: the broker takes it as the user name. The organisational unit is the purpose.
        """
        encrypts = purpose is KeyPurpose.ENVELOPE
        builder = (
            _builder(_subject(code, purpose.value), self.certificate.subject, public_key, now, days)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(agrees_keys=encrypts), critical=True)
            .add_extension(
                x509.SubjectAlternativeName(
                    [x509.UniformResourceIdentifier(f"urn:x-tarasul:agency:{code}:{purpose.value}")]
                ),
                critical=False,
            )
            .add_extension(_key_of(self.certificate), critical=False)
        )
        if purpose is KeyPurpose.TRANSPORT:
            builder = builder.add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
            )
        return builder.sign(self.key, hashes.SHA256())

    def issue_server(
        self, hosts: Sequence[str], public_key: ec.EllipticCurvePublicKey, now: datetime, days: int
    ) -> x509.Certificate:
        """The certificate of a server that is reached as any of ``hosts`` (names or addresses)."""
        return (
            _builder(_subject(hosts[0], "server"), self.certificate.subject, public_key, now, days)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName([_general_name(host) for host in hosts]), critical=False)
            .add_extension(_key_of(self.certificate), critical=False)
            .sign(self.key, hashes.SHA256())
        )


def make_root(key: ec.EllipticCurvePrivateKey, now: datetime) -> CertificateAuthority:
    """A self-signed root that may sign issuing authorities and nothing below them."""
    name = _subject("Tarasul Root", "root")
    certificate = (
        _builder(name, name, key.public_key(), now, 365 * ROOT_YEARS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return CertificateAuthority(key, certificate)


def pem_of(*certificates: x509.Certificate) -> bytes:
    """PEM, the leaf first."""
    return b"".join(c.public_bytes(serialization.Encoding.PEM) for c in certificates)


def base64_of(certificate: x509.Certificate) -> str:
    """Base64 of DER, as ``x5c`` and the directory hold it."""
    return base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode("ascii")


def certificate_from(text: str) -> x509.Certificate:
    """The certificate in base64 of DER.

    Raises:
        VerificationError: ``certificate_unreadable``.
    """
    try:
        return x509.load_der_x509_certificate(base64.b64decode(text, validate=True))
    except ValueError as error:
        raise VerificationError(ErrorCode.CERTIFICATE_UNREADABLE, path="x5c", problem=str(error)) from error


def read_certificates(file: Path) -> list[x509.Certificate]:
    """All certificates in a PEM file, in their order.

    Raises:
        VerificationError: ``certificate_unreadable``.
    """
    try:
        return x509.load_pem_x509_certificates(file.read_bytes())
    except (OSError, ValueError) as error:
        raise VerificationError(ErrorCode.CERTIFICATE_UNREADABLE, path=str(file), problem=str(error)) from error


def read_certificate(file: Path) -> x509.Certificate:
    """The first certificate in a PEM file. Raises as :func:`read_certificates`."""
    return read_certificates(file)[0]


def thumbprint(certificate: x509.Certificate) -> str:
    """``x5t#S256`` (RFC 7515, 4.1.8): base64url of SHA-256 of the DER."""
    digest = hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def key_id(certificate: x509.Certificate) -> str:
    """The ``kid``: agency, purpose and the first half of the public key's SHA-256."""
    public = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return f"{common_name(certificate)}.{unit_name(certificate)}.{hashlib.sha256(public).hexdigest()[:16]}"


def common_name(certificate: x509.Certificate) -> str:
    return _attribute(certificate, NameOID.COMMON_NAME)


def unit_name(certificate: x509.Certificate) -> str:
    return _attribute(certificate, NameOID.ORGANIZATIONAL_UNIT_NAME)


def _attribute(certificate: x509.Certificate, oid: x509.ObjectIdentifier) -> str:
    found = certificate.subject.get_attributes_for_oid(oid)
    return str(found[0].value) if len(found) == 1 else ""


def _subject(name: str, unit: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANISATION),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _key_of(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier.value)


def _usage(*, signs_certificates: bool = False, agrees_keys: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates and not agrees_keys,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=agrees_keys,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
