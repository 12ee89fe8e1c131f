"""Where signatures come from: a key in a file now, a hardware module later, behind the same few lines.

generate_key(key_file)                        # where it is used, and it never leaves
key = FileKey(key_file, certificate_file)
[signature] = await key.sign([digest])
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature

from trust.certificates import certificate_digest, key_id, read_certificate
from trust.key_files import generate_key, read_key, unreadable

__all__ = ["FileKey", "KeySource", "generate_key", "read_key"]

_SCALAR_BYTES: Final = 32
_PREHASHED: Final = ec.ECDSA(Prehashed(hashes.SHA256()))
_BREATHE_EVERY: Final = 256


class KeySource(Protocol):
    """Signs; says nothing about where the private key lives.

    Attributes:
        kid: the key's name in headers and in the directory.
        alg: JWS algorithm.
        certificate: its certificate.
        x5t: base64url of the certificate's SHA-256.
    """

    @property
    def kid(self) -> str: ...
    @property
    def alg(self) -> str: ...
    @property
    def certificate(self) -> x509.Certificate: ...
    @property
    def x5t(self) -> str: ...

    async def sign(self, digests: Sequence[bytes]) -> list[bytes]:
        """Signatures of ``digests`` (SHA-256, 32 bytes each), in their order.

        Each is r followed by s, 64 bytes (RFC 7518 §3.4).
        """
        ...


class FileKey:
    """A P-256 private key in a file, with its certificate in another.

    Raises:
        VerificationError: ``key_unreadable`` (also when the certificate is another key's) or
            ``certificate_unreadable``.
    """

    alg = "ES256"

    def __init__(self, key_file: Path, certificate_file: Path) -> None:
        self._key = read_key(key_file)
        self.certificate = read_certificate(certificate_file)
        if self.certificate.public_key() != self._key.public_key():
            raise unreadable(
                key_file,
                f"ليس مفتاح الشهادة {certificate_file.name}",
                f"it is not the key of {certificate_file.name}",
            )
        self.x5t = certificate_digest(self.certificate)
        self.kid = key_id(self.certificate)

    async def sign(self, digests: Sequence[bytes]) -> list[bytes]:
        """See :meth:`KeySource.sign`. 16 µs each, on the loop: handing them to a thread would cost more."""
        signatures = []
        for index, digest in enumerate(digests, 1):
            r, s = decode_dss_signature(self._key.sign(digest, _PREHASHED))
            signatures.append(r.to_bytes(_SCALAR_BYTES, "big") + s.to_bytes(_SCALAR_BYTES, "big"))
            if index % _BREATHE_EVERY == 0:
                await asyncio.sleep(0)
        return signatures
