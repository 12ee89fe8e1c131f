"""Keys: where the private ones are, and how the public ones are held for checking.

A private key is made where it is used and never leaves. Whoever signs asks a :class:`KeySource`, asynchronously and
for a list of digests at once, so that a hardware module can take the place of a file.
"""

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature
from joserfc.jwk import ECKey

from schemas.errors import ErrorCode
from trust.certificates import key_id, read_certificates, thumbprint
from trust.errors import VerificationError

_PREHASHED = ec.ECDSA(Prehashed(hashes.SHA256()))


class KeySource(Protocol):
    """A private key, wherever it is."""

    @property
    def kid(self) -> str: ...

    @property
    def alg(self) -> str: ...

    @property
    def x5t(self) -> str: ...

    @property
    def certificate(self) -> x509.Certificate: ...

    async def sign(self, digests: Sequence[bytes]) -> list[bytes]:
        """One raw signature for each SHA-256 digest; for ES256 the 64 bytes r ‖ s (RFC 7518, 3.4)."""
        ...


class PublicKey(Protocol):
    """A public key as :func:`trust.token.check_signature` takes it."""

    @property
    def alg(self) -> str: ...

    @property
    def x5t(self) -> str: ...

    @property
    def jose(self) -> ECKey: ...


class FileKey:
    """A P-256 private key in a PEM file with mode 0600.

    Raises:
        VerificationError: ``key_unreadable`` or ``certificate_unreadable``; also when the two do not belong together
            or others may read the key.
    """

    alg = "ES256"

    def __init__(self, key_file: Path, certificate_file: Path) -> None:
        self.chain = read_certificates(certificate_file)
        self.certificate = self.chain[0]
        self._key = _read_key(key_file)
        if self._key.public_key() != self.certificate.public_key():
            raise VerificationError(
                ErrorCode.KEY_UNREADABLE, path=str(key_file), problem="it is not the key of its certificate"
            )
        self.kid = key_id(self.certificate)
        self.x5t = thumbprint(self.certificate)

    async def sign(self, digests: Sequence[bytes]) -> list[bytes]:
        signatures = []
        for digest in digests:
            r, s = decode_dss_signature(self._key.sign(digest, _PREHASHED))
            signatures.append(r.to_bytes(32, "big") + s.to_bytes(32, "big"))
        return signatures


def generate_key(file: Path) -> ec.EllipticCurvePrivateKey:
    """Make a P-256 key in ``file``, which must not exist, with mode 0600."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with os.fdopen(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as fresh:
        fresh.write(pem)
    return key


def _read_key(file: Path) -> ec.EllipticCurvePrivateKey:
    try:
        if stat.S_IMODE(file.stat().st_mode) & 0o077:
            raise VerificationError(
                ErrorCode.KEY_UNREADABLE, path=str(file), problem="others may read it; chmod 600"
            )
        key = serialization.load_pem_private_key(file.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise VerificationError(ErrorCode.KEY_UNREADABLE, path=str(file), problem=str(error)) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise VerificationError(ErrorCode.KEY_UNREADABLE, path=str(file), problem="not a P-256 key")
    return key
