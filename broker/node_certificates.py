"""Certificates of a private node: given, or thrown away with it (one authority, made in memory, forgotten).

Throwaway ones are for trials, tests and benchmarks of the broker itself. Agencies' certificates come from
:mod:`trust.certificates`.
"""

import datetime as dt
import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from broker.configuration import BrokerTls

VALID_DAYS = 30


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """PEM files of one certificate and its key."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class NodeTls:
    """Certificates for a node that shall not make throwaway ones.

    Attributes:
        broker: what the broker presents and trusts.
        probe: a client certificate that the broker accepts, used only to see that it answers.
    """

    broker: BrokerTls
    probe: CertificateFiles


def write_secret(file: Path, content: bytes) -> None:
    """Write ``content`` so that from its first moment only the owner can read it."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        os.fchmod(stream.fileno(), 0o600)
        stream.write(content)


class ThrowawayAuthority:
    """A certification authority whose key is never written down."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tarasul throwaway root")])
        certificate = (
            self._builder(self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.root = directory / "root.pem"
        self.root.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def _builder(self, name: x509.Name, public_key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(days=VALID_DAYS))
        )

    def issue(self, common_name: str, *, server: bool = False) -> CertificateFiles:
        """A certificate that logs in as the user ``common_name``, or one for the broker on loopback."""
        key = ec.generate_private_key(ec.SECP256R1())
        usage = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = self._builder(
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]), key.public_key()
        ).add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if server:
            loopback = ipaddress.ip_address("127.0.0.1")
            names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(loopback)])
            builder = builder.add_extension(names, critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        files = CertificateFiles(self._directory / f"{common_name}.pem", self._directory / f"{common_name}.key")
        files.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        write_secret(
            files.key,
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ),
        )
        return files
