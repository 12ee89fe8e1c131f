"""Certificates: reading them, and the two levels of authority that issue them.

    root = RootAuthority.create(offline_folder, not_before=now, not_after=in_20_years)
    issuing = IssuingAuthority.create(folder, root, "Tarasul Issuing CA 1", not_before=now, not_after=in_5_years)
    certificate = issuing.issue_certificate(KeyPurpose.SEAL, "MPW", key, not_before=now, not_after=in_a_year)

The root signs issuing authorities and nothing else; its folder is kept apart and offline, its certificate is
what adapters pin. P-256 throughout: ``cryptography``'s path check refuses Ed25519 certificates, and every HSM
has P-256.
"""

import base64
import hashlib
import ipaddress
import os
import secrets
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from schemas.directory import KeyPurpose
from schemas.errors import ErrorCode
from trust.errors import VerificationError
from trust.key_files import LARGEST_FILE, generate_key, read_key

ORGANISATION = "Tarasul"
_KID_DIGEST_LENGTH = 16
_DOCUMENT_SIGNING = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.36")  # id-kp-documentSigning, RFC 9336


def read_certificate(file: Path) -> x509.Certificate:
    """The (first) certificate in a PEM file.

    Raises:
        VerificationError: ``certificate_unreadable``.
    """
    try:
        with file.open("rb") as stream:
            return load_certificate(stream.read(LARGEST_FILE), x509.load_pem_x509_certificate)
    except (OSError, ValueError):
        raise VerificationError(ErrorCode.CERTIFICATE_UNREADABLE, path=str(file)) from None


def load_certificate(raw: bytes, load: Callable[[bytes], x509.Certificate]) -> x509.Certificate:
    """The certificate that the library's ``load`` finds in ``raw``, if all that is asked of it later can be read.

    Raises:
        ValueError: no certificate, or one of an unknown kind.
    """
    try:
        certificate = load(raw)
        # The library reads these two only when they are asked for.
        _ = certificate.public_key(), certificate.subject
    except (x509.InvalidVersion, UnsupportedAlgorithm) as error:
        raise ValueError("of an unknown kind") from error
    return certificate


def write_certificates(file: Path, certificates: Sequence[x509.Certificate]) -> None:
    """Write PEM certificates, replacing the file in one step. For a TLS chain: leaf first."""
    draft = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
    with os.fdopen(descriptor, "wb") as stream:
        stream.writelines(item.public_bytes(serialization.Encoding.PEM) for item in certificates)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(file)


def certificate_digest(certificate: x509.Certificate) -> str:
    """``x5t#S256``: base64url of the SHA-256 of the DER (RFC 7515 §4.1.8)."""
    digest = hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def certificate_owner(certificate: x509.Certificate) -> str | None:
    """Agency code (CN), if there is exactly one."""
    return _one_name(certificate, NameOID.COMMON_NAME)


def certificate_purpose(certificate: x509.Certificate) -> str | None:
    """Purpose of the key (OU), if there is exactly one."""
    return _one_name(certificate, NameOID.ORGANIZATIONAL_UNIT_NAME)


def key_id(certificate: x509.Certificate) -> str:
    """A key's name, another for every certificate: ``MPW.seal.`` and 16 characters of its digest."""
    owner, purpose = certificate_owner(certificate), certificate_purpose(certificate)
    return f"{owner}.{purpose}.{certificate_digest(certificate)[:_KID_DIGEST_LENGTH]}"


def _one_name(certificate: x509.Certificate, oid: x509.ObjectIdentifier) -> str | None:
    found = certificate.subject.get_attributes_for_oid(oid)
    return str(found[0].value) if len(found) == 1 else None


class RootAuthority:
    """The root. Its folder holds ``root.key`` and ``root.pem`` and belongs on a machine without a network.

    Raises:
        VerificationError: ``key_unreadable`` or ``certificate_unreadable``.
    """

    def __init__(self, folder: Path) -> None:
        self._key = read_key(folder / "root.key")
        self.certificate = read_certificate(folder / "root.pem")

    @classmethod
    def create(cls, folder: Path, *, not_before: datetime, not_after: datetime) -> Self:
        """Make the root in ``folder`` (made with mode 0700).

        Raises:
            FileExistsError: there is a key already.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        public_key = generate_key(folder / "root.key")
        key = read_key(folder / "root.key")
        name = _authority_name("Tarasul Root CA")
        builder = _builder(name, name, public_key, public_key, not_before=not_before, not_after=not_after)
        certificate = _with_authority_extensions(builder, path_length=1).sign(key, hashes.SHA256())
        write_certificates(folder / "root.pem", [certificate])
        return cls(folder)

    def sign_issuer(
        self, name: str, public_key: ec.EllipticCurvePublicKey, *, not_before: datetime, not_after: datetime
    ) -> x509.Certificate:
        """Certify an issuing authority, which can certify no further authority (path length 0)."""
        builder = _builder(
            _authority_name(name),
            self.certificate.subject,
            public_key,
            self._key.public_key(),
            not_before=not_before,
            not_after=not_after,
        )
        return _with_authority_extensions(builder, path_length=0).sign(self._key, hashes.SHA256())


class IssuingAuthority:
    """Issues the certificates of agencies, of the authority's own keys, and of servers.

    Its folder holds ``issuing.key`` and ``issuing.pem``.

    Raises:
        VerificationError: ``key_unreadable`` or ``certificate_unreadable``.
    """

    def __init__(self, folder: Path) -> None:
        self._key = read_key(folder / "issuing.key")
        self.certificate = read_certificate(folder / "issuing.pem")

    @classmethod
    def create(cls, folder: Path, root: RootAuthority, name: str, *, not_before: datetime, not_after: datetime) -> Self:
        """Make an issuing authority in ``folder`` (made with mode 0700), certified by ``root``.

        Raises:
            FileExistsError: there is a key already.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        public_key = generate_key(folder / "issuing.key")
        certificate = root.sign_issuer(name, public_key, not_before=not_before, not_after=not_after)
        write_certificates(folder / "issuing.pem", [certificate])
        return cls(folder)

    def issue_certificate(
        self,
        purpose: KeyPurpose,
        agency: str,
        public_key: ec.EllipticCurvePublicKey,
        *,
        not_before: datetime,
        not_after: datetime,
    ) -> x509.Certificate:
        """Certify a key of ``agency`` for one ``purpose``, no longer than this authority is certified itself.

        CN is the agency's code (the broker takes it as the user's name), OU the purpose.

        The broker logs in whoever shows a certificate of ours, and does not look at OU. What keeps a seal key from
        being a log-in as well is its extended key usage: client authentication for ``transport`` alone, document
        signing (RFC 9336) for all others. A certificate without one could be used for anything.
        """
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANISATION),
                x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, purpose.value),
                x509.NameAttribute(NameOID.COMMON_NAME, agency),
            ]
        )
        names = [x509.UniformResourceIdentifier(f"urn:x-tarasul:{agency}:{purpose.value}")]
        builder = (
            self._leaf(subject, public_key, not_before, not_after)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(_usage_of(purpose), critical=True)
            .add_extension(_extended_usage_of(purpose), critical=False)
        )
        return builder.sign(self._key, hashes.SHA256())

    def issue_server_certificate(
        self,
        name: str,
        public_key: ec.EllipticCurvePublicKey,
        *,
        dns_names: Sequence[str] = ("localhost",),
        addresses: Sequence[str] = ("127.0.0.1",),
        not_before: datetime,
        not_after: datetime,
    ) -> x509.Certificate:
        """Certify a TLS server (the broker, the gateway).

        Args:
            name: CN, for people; clients look at the two below.
            public_key: of the server.
            dns_names: names that clients reach it by.
            addresses: IP addresses that clients reach it by.
            not_before: start of validity.
            not_after: end of validity, or sooner, with this authority's own.
        """
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANISATION),
                x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "server"),
                x509.NameAttribute(NameOID.COMMON_NAME, name),
            ]
        )
        names: list[x509.GeneralName] = [x509.DNSName(item) for item in dns_names]
        names += [x509.IPAddress(ipaddress.ip_address(item)) for item in addresses]
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        return (
            self._leaf(subject, public_key, not_before, not_after)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(_usage(digital_signature=True), critical=True)
            .add_extension(usage, critical=False)
            .sign(self._key, hashes.SHA256())
        )

    def _leaf(
        self,
        subject: x509.Name,
        public_key: ec.EllipticCurvePublicKey,
        not_before: datetime,
        not_after: datetime,
    ) -> x509.CertificateBuilder:
        # A path counts only while all of it is valid: no reader would take a leaf that has outlived its issuer.
        return _builder(
            subject,
            self.certificate.subject,
            public_key,
            self._key.public_key(),
            not_before=not_before,
            not_after=min(not_after, self.certificate.not_valid_after_utc),
        ).add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)


def _authority_name(name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANISATION),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    issuer_key: ec.EllipticCurvePublicKey,
    *,
    not_before: datetime,
    not_after: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
    )


def _with_authority_extensions(builder: x509.CertificateBuilder, *, path_length: int) -> x509.CertificateBuilder:
    return builder.add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True).add_extension(
        _usage(key_cert_sign=True, crl_sign=True), critical=True
    )


def _usage_of(purpose: KeyPurpose) -> x509.KeyUsage:
    if purpose is KeyPurpose.ENVELOPE:
        return _usage(key_agreement=True)
    # The seal stands for the agency's will (content commitment, once "non-repudiation"); a log-in does not.
    return _usage(digital_signature=True, content_commitment=purpose is KeyPurpose.SEAL)


def _extended_usage_of(purpose: KeyPurpose) -> x509.ExtendedKeyUsage:
    if purpose is KeyPurpose.TRANSPORT:
        return x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    return x509.ExtendedKeyUsage([_DOCUMENT_SIGNING])


def _usage(
    *,
    digital_signature: bool = False,
    content_commitment: bool = False,
    key_agreement: bool = False,
    key_cert_sign: bool = False,
    crl_sign: bool = False,
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=content_commitment,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=key_agreement,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )
