"""Private keys in files: PKCS#8 PEM, mode 0600, made where they are used and never replaced."""

import os
import secrets
import stat
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from schemas.errors import ErrorCode
from trust.errors import VerificationError

LARGEST_FILE = 64 * 1024


def generate_key(file: Path) -> ec.EllipticCurvePublicKey:
    """Make a P-256 key in ``file`` and return its public half.

    The file appears whole or not at all, is never readable by others, and never replaces one.

    Raises:
        FileExistsError: there is one already.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    _write_new(file, key)
    return key.public_key()


def generate_log_key(file: Path) -> Ed25519PublicKey:
    """As :func:`generate_key`, the Ed25519 key of a log."""
    key = Ed25519PrivateKey.generate()
    _write_new(file, key)
    return key.public_key()


def read_key(file: Path) -> ec.EllipticCurvePrivateKey:
    """The private key in ``file``.

    Raises:
        VerificationError: ``key_unreadable``: missing, open to others, malformed, encrypted or not P-256.
    """
    key = _read(file)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise unreadable(file, "ليس مفتاحاً من نوع P-256", "it is not a P-256 key")
    return key


def read_log_key(file: Path) -> Ed25519PrivateKey:
    """As :func:`read_key`, the Ed25519 key of a log."""
    key = _read(file)
    if not isinstance(key, Ed25519PrivateKey):
        raise unreadable(file, "ليس مفتاحاً من نوع Ed25519", "it is not an Ed25519 key")
    return key


def _write_new(file: Path, key: ec.EllipticCurvePrivateKey | Ed25519PrivateKey) -> None:
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(pem)
            stream.flush()
            os.fsync(stream.fileno())
        os.link(draft, file)  # unlike a rename, fails when the name is taken
    finally:
        draft.unlink()


def _read(file: Path) -> PrivateKeyTypes:
    try:
        with file.open("rb") as stream:
            mode = os.fstat(stream.fileno()).st_mode
            pem = stream.read(LARGEST_FILE)
    except OSError as error:
        problem = error.strerror or type(error).__name__
        raise VerificationError(ErrorCode.KEY_UNREADABLE, path=str(file), problem=problem) from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        octal = f"{stat.S_IMODE(mode):04o}"
        raise unreadable(file, f"يستطيع غير مالكه قراءته (الصلاحيات {octal})", f"others may read it (mode {octal})")
    try:
        return serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError):
        # The library's own text may quote the file; it stays out.
        raise unreadable(
            file, "ليس مفتاحاً بصيغة PKCS#8 PEM دون كلمة سر", "it is not an unencrypted PKCS#8 PEM key"
        ) from None


def unreadable(file: Path, ar: str, en: str) -> VerificationError:
    return VerificationError(ErrorCode.KEY_UNREADABLE, path=str(file), problem_ar=ar, problem=en)
