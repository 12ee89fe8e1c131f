"""Whether a token is what it claims to be: the one check in every letter's path.

    token = open_token(body, TokenType.LETTER)
    key = verify(token, directory, purpose="seal", now=now)   # key.agency signed it

Order: the key is looked up, its purpose and its signature are checked, then its validity. So an error after
the signature carries ``signature_good``: the owner of the key did sign, and may be told why it does not
count.
"""

from datetime import datetime, timedelta
from typing import Final, Protocol

from schemas.errors import ErrorCode
from trust.directory_key import DirectoryKey
from trust.errors import VerificationError
from trust.token import OpenedToken, check_signature

CLOCK_TOLERANCE: Final = timedelta(minutes=5)
"""How far two honest clocks may differ."""
EXPIRED_KEY_GRACE: Final = timedelta(days=30)
"""A letter that waited while its key expired in good order stays good for this long."""


class Keys(Protocol):
    """Where keys are looked up: a directory."""

    def key(self, kid: str) -> DirectoryKey | None: ...


def verify(
    token: OpenedToken,
    directory: Keys,
    *,
    purpose: str,
    now: datetime,
    grace: timedelta = EXPIRED_KEY_GRACE,
) -> DirectoryKey:
    """Find out who signed a token.

    The token's own ``iat`` decides nothing, but may not lie ahead: validity is judged at ``now``.

    Args:
        token: from :func:`trust.token.open_token`.
        directory: in force.
        purpose: that the key must have, a :class:`schemas.directory.KeyPurpose`.
        now: the instant of arrival, aware.
        grace: after the end of a key's validity; none for a key that was revoked.

    Returns:
        The key; ``.agency`` is the signer.

    Raises:
        VerificationError: ``key_unknown``, ``key_wrong_purpose``, ``algorithm_mismatch``,
            ``certificate_digest_mismatch``, ``signature_invalid``; with ``signature_good``:
            ``key_compromised``, ``key_revoked``, ``key_not_yet_valid``, ``key_expired`` or
            ``issued_in_future``.
    """
    key = directory.key(token.kid)
    if key is None:
        raise VerificationError(ErrorCode.KEY_UNKNOWN, kid=token.kid)
    if key.purpose != purpose:
        raise VerificationError(ErrorCode.KEY_WRONG_PURPOSE, kid=key.kid, purpose=key.purpose)
    check_signature(token, key)
    code = _validity_problem(token, key, now, grace)
    if code is not None:
        raise VerificationError(code, signature_good=True, kid=key.kid)
    return key


def _validity_problem(token: OpenedToken, key: DirectoryKey, now: datetime, grace: timedelta) -> ErrorCode | None:
    if key.compromised:
        return ErrorCode.KEY_COMPROMISED
    if key.revoked_at is not None and key.revoked_at <= now:
        return ErrorCode.KEY_REVOKED
    if now + CLOCK_TOLERANCE < key.not_before:
        return ErrorCode.KEY_NOT_YET_VALID
    # Subtracted, not added: a certificate "without an end" (31.12.9999) leaves no room for a grace after it.
    if key.not_after < now - grace:
        return ErrorCode.KEY_EXPIRED
    if token.iat > (now + CLOCK_TOLERANCE).timestamp():
        return ErrorCode.ISSUED_IN_FUTURE
    return None
