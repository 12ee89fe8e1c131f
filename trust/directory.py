"""The directory in force: who is a member, with which keys. Opened once per version, then looked up.

    directory = Directory.open(raw, [root], now, newer_than=41)
    key = directory.key("MPW.seal.4q5h5tn6SSO2P-If")

Everything slow (the signature, every certificate's chain up to the pinned root) happens in
:meth:`Directory.open`, so that in a letter's path a check is one look-up and one signature verification.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, Self

from cryptography import x509

from schemas.directory import AgencyRecord, DirectoryPayload, KeyPurpose, parse_directory
from schemas.errors import ErrorCode, Refused
from schemas.identifiers import AUTHORITY
from trust import ijson
from trust.certificates import certificate_owner, certificate_purpose
from trust.chain import verify_chain
from trust.checkpoint import LogKey
from trust.directory_entries import decode_certificate, encode_certificate, malformed, read_key_entry
from trust.directory_key import DirectoryKey
from trust.errors import VerificationError
from trust.keys import KeySource
from trust.token import LIMITS, OpenedToken, Signer, TokenType, check_signature, open_token
from trust.verification import CLOCK_TOLERANCE

AgencyEntry = AgencyRecord
"""A member as the directory has it."""

LONGEST_VALIDITY: Final = timedelta(days=30)
AGEING: Final = timedelta(days=7)
"""With this much validity left, an alarm is due."""
GRACE: Final = timedelta(days=14)
"""For so long after its validity a directory is still used, loudly; then no more."""

DirectoryState = Literal["current", "ageing", "grace", "expired"]


class Directory:
    """One verified version of the directory. Made by :meth:`open`.

    Attributes:
        version: counts up from 1.
        digest: of the token; two directories of one version must have the same (see :meth:`open`).
        issued_at, valid_until: aware instants.
        agencies: members by code.
        log: the key of the authority's log; None when it has none.
        payload: as signed.
    """

    def __init__(self, payload: DirectoryPayload, digest: str, keys: Mapping[str, DirectoryKey]) -> None:
        self.payload = payload
        self.digest = digest
        self.version = payload.version
        self.issued_at = _instant(payload.issued_at, "/issued_at")
        self.valid_until = _instant(payload.valid_until, "/valid_until")
        self._agencies = {entry.code: entry for entry in payload.agencies}
        self._keys = dict(keys)
        self.log = None if payload.log is None else _log_key(payload.log)
        self.agencies: Mapping[str, AgencyEntry] = MappingProxyType(self._agencies)

    @classmethod
    def open(
        cls,
        raw: bytes,
        anchors: Sequence[x509.Certificate],
        now: datetime,
        *,
        newer_than: int | None = None,
        newest_digest: str | None = None,
    ) -> Self:
        """Verify a signed directory.

        Args:
            raw: compact JWS; its header brings the certificates of the directory key and of its issuing authority.
            anchors: pinned roots.
            now: for validity.
            newer_than: highest version in force before; the same is taken again, an older one is not.
            newest_digest: of that version, if it is remembered: another directory of the same version is refused,
                as of two that the authority has signed a reader cannot say which one the others were given.

        Raises:
            VerificationError: what :func:`trust.token.open_token` and :func:`trust.ijson.parse` raise,
                ``chain_invalid``, ``key_wrong_purpose``, ``certificate_digest_mismatch``,
                ``signature_invalid``, ``issued_in_future``, ``directory_malformed`` (with a pointer),
                ``directory_rolled_back``, ``directory_forked``, ``directory_expired`` or ``key_expired`` (the
                directory key's).
        """
        token = open_token(raw, TokenType.DIRECTORY)
        signed_until = _check_signer(token, anchors, now)
        if token.iat > (now + CLOCK_TOLERANCE).timestamp():
            raise VerificationError(ErrorCode.ISSUED_IN_FUTURE, signature_good=True)
        payload = _read_payload(token)
        if newer_than is not None and payload.version < newer_than:
            raise VerificationError(
                ErrorCode.DIRECTORY_ROLLED_BACK,
                signature_good=True,
                version=payload.version,
                newest=newer_than,
            )
        if payload.version == newer_than and newest_digest not in (None, token.digest):
            raise VerificationError(ErrorCode.DIRECTORY_FORKED, signature_good=True, version=payload.version)
        directory = cls(payload, token.digest, _read_keys(payload, anchors, now))
        if not timedelta() < directory.valid_until - directory.issued_at <= LONGEST_VALIDITY:
            raise malformed(
                "/valid_until",
                f"مدة صلاحيته أطول من {LONGEST_VALIDITY.days} يوماً، أو لا مدة لها",
                f"valid for more than {LONGEST_VALIDITY.days} days, or for none",
            )
        if directory.issued_at > now + CLOCK_TOLERANCE:
            raise VerificationError(ErrorCode.ISSUED_IN_FUTURE, signature_good=True)
        if directory.state(now) == "expired":
            raise VerificationError(ErrorCode.DIRECTORY_EXPIRED, signature_good=True, version=directory.version)
        if signed_until < now:
            raise VerificationError(ErrorCode.KEY_EXPIRED, signature_good=True, kid=token.kid)
        return directory

    def agency(self, code: str) -> AgencyEntry | None:
        """The member with this code."""
        return self._agencies.get(code)

    def key(self, kid: str) -> DirectoryKey | None:
        """The key of this name. Keys of a purpose or algorithm unknown to this release are not there."""
        return self._keys.get(kid)

    def keys_of(self, agency: str, purpose: str) -> list[DirectoryKey]:
        """All keys that an agency has for a purpose, whatever their validity."""
        return [key for key in self._keys.values() if (key.agency, key.purpose) == (agency, purpose)]

    def state(self, now: datetime) -> DirectoryState:
        """How far its validity has run: ``ageing`` calls for an alarm, ``grace`` for a louder one."""
        left = self.valid_until - now
        if left > AGEING:
            return "current"
        if left >= timedelta():
            return "ageing"
        return "grace" if left >= -GRACE else "expired"


def read_directory_file(file: Path) -> bytes:
    """What stands in ``file``, or its beginning: one byte more than the longest directory.

    Raises:
        Refused: ``directory_unreadable``.
    """
    try:
        with file.open("rb") as stream:
            return stream.read(LIMITS[TokenType.DIRECTORY].token + 1)
    except OSError as error:
        raise Refused(ErrorCode.DIRECTORY_UNREADABLE, path=str(file)) from error


async def sign_directory(
    payload: Mapping[str, Any], key: KeySource, issuers: Sequence[x509.Certificate], now: int
) -> bytes:
    """Sign a directory.

    Args:
        payload: see :class:`schemas.directory.DirectoryPayload`; entries from
            :func:`trust.directory_entries.describe_key`.
        key: the directory key.
        issuers: the issuing authority that certified it (not the root, which readers have pinned).
        now: seconds since 1970.

    Raises:
        Refused: ``schema_invalid`` when the payload is not a directory's.
    """
    parse_directory(dict(payload))
    certificates = [encode_certificate(item) for item in (key.certificate, *issuers)]
    [signed] = await Signer(key, certificates).sign(TokenType.DIRECTORY, [ijson.dump(payload)], now)
    return signed.text


def _check_signer(token: OpenedToken, anchors: Sequence[x509.Certificate], now: datetime) -> datetime:
    """End of the signing certificate's validity. That an old directory has run out is told by its own dates."""
    if not token.x5c:
        raise VerificationError(ErrorCode.HEADER_MEMBER_INVALID, member="x5c")
    try:
        leaf, *issuers = [decode_certificate(item) for item in token.x5c]
    except ValueError:
        raise VerificationError(ErrorCode.HEADER_MEMBER_INVALID, member="x5c") from None
    verify_chain(leaf, issuers, anchors, min(now, leaf.not_valid_after_utc))
    purpose = certificate_purpose(leaf)
    if purpose != KeyPurpose.DIRECTORY or certificate_owner(leaf) != AUTHORITY:
        raise VerificationError(ErrorCode.KEY_WRONG_PURPOSE, kid=token.kid, purpose=purpose)
    check_signature(token, DirectoryKey.of_certificate(leaf, token.kid, AUTHORITY, KeyPurpose.DIRECTORY.value))
    return leaf.not_valid_after_utc


def _read_payload(token: OpenedToken) -> DirectoryPayload:
    try:
        return parse_directory(token.claims())
    except VerificationError:
        raise
    except Refused as refusal:
        raise _malformed_because(refusal, refusal.pointer) from refusal


def _malformed_because(refusal: Refused, pointer: str | None) -> VerificationError:
    return malformed(pointer, " ".join(refusal.text("ar").splitlines()), refusal.text("en"))


def _read_keys(
    payload: DirectoryPayload, anchors: Sequence[x509.Certificate], now: datetime
) -> dict[str, DirectoryKey]:
    issuers = []
    for index, text in enumerate(payload.issuers):
        try:
            issuers.append(decode_certificate(text))
        except ValueError:
            raise malformed(f"/issuers/{index}", "ليست شهادة", "no certificate") from None
    keys: dict[str, DirectoryKey] = {}
    names: set[str] = set()
    codes: set[str] = set()
    for position, agency in enumerate(payload.agencies):
        if agency.code in codes:
            raise malformed(f"/agencies/{position}/code", f"الرمز {agency.code} مكرر", f"{agency.code} stands twice")
        codes.add(agency.code)
        for place, entry in enumerate(agency.keys):
            pointer = f"/agencies/{position}/keys/{place}"
            if entry.kid in names:
                raise malformed(f"{pointer}/kid", f"المفتاح {entry.kid} مكرر", f"{entry.kid} stands twice")
            names.add(entry.kid)
            key = read_key_entry(entry, agency.code, pointer)
            if key is None:
                continue
            # Of an expired key's chain counts that it was good while the key was valid.
            at = max(key.certificate.not_valid_before_utc, min(now, key.certificate.not_valid_after_utc))
            try:
                verify_chain(key.certificate, issuers, anchors, at)
            except VerificationError as error:
                raise _malformed_because(error, f"{pointer}/certificate") from None
            keys[key.kid] = key
    return keys


def _log_key(text: str) -> LogKey:
    try:
        return LogKey.read(text)
    except ValueError:
        raise malformed("/log", "ليس مفتاح سجل", "no key of a log") from None


def _instant(text: str, pointer: str) -> datetime:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise malformed(pointer, "لا وجود لهذا الوقت", "no such instant") from None
