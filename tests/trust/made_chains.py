"""Certificates made by hand, so that a chain can be wrong in one place."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
YEAR = timedelta(days=365)


def p256() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@dataclass(frozen=True)
class Made:
    """A certificate with its key."""

    certificate: x509.Certificate
    key: PrivateKey


def made(
    name: str,
    now: datetime,
    issuer: Made | None = None,
    *,
    key: PrivateKey | None = None,
    authority: bool = True,
    signs_certificates: bool | None = None,
    path_length: int | None = None,
    valid: tuple[timedelta, timedelta] = (-YEAR, YEAR),
    left_out: Sequence[type[x509.ExtensionType]] = (),
) -> Made:
    """A certificate called ``name``, signed by ``issuer``, or by itself.

    Args:
        name: CN.
        now: what ``valid`` counts from.
        issuer: None for a root.
        key: a new P-256 key unless given.
        authority: whether it may sign others.
        signs_certificates: what its key usage says; as ``authority`` unless given.
        path_length: how many authorities may follow.
        valid: from, to.
        left_out: extensions that it shall not have.
    """
    key = key or p256()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signing = issuer.key if issuer else key
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=authority, path_length=path_length), True),
        (_usage(authority=authority if signs_certificates is None else signs_certificates), True),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), False),
    ]
    if not authority or signs_certificates is False:
        uri = x509.UniformResourceIdentifier(f"urn:x-tarasul:{name}:seal")
        extensions.append((x509.SubjectAlternativeName([uri]), False))
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + valid[0])
        .not_valid_after(now + valid[1])
    )
    for extension, critical in extensions:
        if not isinstance(extension, tuple(left_out)):
            builder = builder.add_extension(extension, critical=critical)
    algorithm = None if isinstance(signing, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return Made(builder.sign(signing, algorithm), key)


UNREADABLE = {
    "version": (b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x30"),
    "subject": (b"\x0c\x03MPW", b"\x0c\x03\xffPW"),
}
"""What the library trips over in a certificate of MPW: bytes, and by what to replace them."""


def damaged(certificate: x509.Certificate, what: str) -> bytes:
    """DER of ``certificate`` (MPW's) with one byte that cannot be read; ``what`` is a name in :data:`UNREADABLE`."""
    der, (old, new) = certificate.public_bytes(Encoding.DER), UNREADABLE[what]
    assert der.count(old) == 1
    return der.replace(old, new)


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )
