"""Verifying a token with the directory: the right key, for this purpose, at this time."""

from datetime import datetime, timedelta

from schemas.errors import ErrorCode
from trust.directory import Directory, DirectoryKey
from trust.errors import VerificationError
from trust.token import OpenedToken, check_signature

CLOCK_SKEW_SECONDS = 300
"""A token may be signed this far ahead of our clock."""

EXPIRED_KEY_GRACE = timedelta(days=30)
"""A letter that waited while its key expired ordinarily stays good for so long."""


def verify(token: OpenedToken, directory: Directory, *, purpose: str, now: datetime) -> DirectoryKey:
    """The directory's key that signed ``token``.

    Args:
        token: opened, nothing in it believed.
        directory: in force.
        purpose: for which the key must be.
        now: the instant of the check, aware.

    Raises:
        VerificationError: ``key_unknown``, ``key_wrong_purpose``, what :func:`trust.token.check_signature` raises;
            then, with ``signature_good`` set, ``key_compromised``, ``key_revoked``, ``key_not_yet_valid``,
            ``key_expired``, ``issued_in_future``.
    """
    key = directory.key(token.kid)
    if key is None:
        raise VerificationError(ErrorCode.KEY_UNKNOWN, key=token.kid)
    if key.purpose != purpose:
        raise VerificationError(
            ErrorCode.KEY_WRONG_PURPOSE, key=token.kid, found=key.purpose, expected=purpose
        )
    check_signature(token, key)
    code = _validity(key, token.iat, now)
    if code is not None:
        raise VerificationError(code, signature_good=True, key=token.kid)
    return key


def _validity(key: DirectoryKey, iat: int, now: datetime) -> ErrorCode | None:
    if key.revoked_at is not None and key.compromised:
        return ErrorCode.KEY_COMPROMISED
    if key.revoked_at is not None and now > key.revoked_at + EXPIRED_KEY_GRACE:
        return ErrorCode.KEY_REVOKED
    if key.revoked_at is not None and iat > key.revoked_at.timestamp():
        return ErrorCode.KEY_REVOKED
    if now < key.not_before:
        return ErrorCode.KEY_NOT_YET_VALID
    if now > key.not_after + EXPIRED_KEY_GRACE:
        return ErrorCode.KEY_EXPIRED
    if iat > now.timestamp() + CLOCK_SKEW_SECONDS:
        return ErrorCode.ISSUED_IN_FUTURE
    return None
