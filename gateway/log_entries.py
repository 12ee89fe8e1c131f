"""What the log says of a token that the journal has: pure. An entry is a small JSON claims set, kept byte for byte.

*Accepted* (``SubmissionAcceptance``) is said of an authentic letter: signed by an agency, and published through that
agency's exchange. Of everything else it is said that it was *recorded*, which grants nothing: a receipt, an adapter's
statement, what is no token at all. What tells nothing new has no entry: a dead letter's body stands in the log as the
letter that it was, the authority's own orders and marks are no correspondence.
"""

import hashlib
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway.journal import UNREADABLE, JournalKind
from schemas.directory import KeyPurpose
from schemas.errors import Refused
from schemas.identifiers import AUTHORITY, is_agency_code
from schemas.letter import Letter, parse_letter
from schemas.receipts import SUBJECT_FORMAT, ReceiptEvent
from trust import ijson
from trust.directory import Directory
from trust.errors import VerificationError
from trust.token import TokenType, open_token
from trust.verification import verify

RECORDED = "urn:x-tarasul:event:recorded"
TOKEN_FORMAT = "urn:x-tarasul:token"  # noqa: S105 - a name, not a password


@dataclass(frozen=True, slots=True)
class Journalled:
    """A token of the journal.

    Attributes:
        kind: of its message.
        routing_key, publisher: of its message.
        recorded_at: Unix milliseconds.
        digest, type: as :class:`gateway.journal.JournalToken` has them.
        body: of its message, where that is this token and nothing else.
    """

    kind: JournalKind
    routing_key: str
    publisher: str | None
    recorded_at: int
    digest: str
    type: str
    body: bytes | None


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A leaf to be.

    Attributes:
        digest, lane: what it is about: a token, and of a letter to many, to whom.
        accepted: whether it says that a letter was accepted.
        entry: its bytes.
    """

    digest: str
    lane: str
    accepted: bool
    entry: bytes


def log_entry(token: Journalled, directory: Directory, now: datetime) -> LogEntry | None:
    """The entry of ``token``; None for what has none. ``directory`` is the one in force, ``now`` aware."""
    if token.kind is JournalKind.LETTER:
        acceptance = _acceptance(token, directory, now)
        entry = ijson.dump(acceptance or _recorded(token))
        return LogEntry(token.digest, token.routing_key, acceptance is not None, entry)
    if token.kind is JournalKind.OTHER and token.publisher == AUTHORITY:
        return _incident(token)
    if token.kind is JournalKind.DEAD_LETTER and token.type != TokenType.DEAD_LETTER:
        return None
    return LogEntry(token.digest, "", accepted=False, entry=ijson.dump(_recorded(token)))


def _incident(token: Journalled) -> LogEntry | None:
    """The authority's incident notices are in the log, so that it cannot accuse anybody unseen."""
    try:
        digest = open_token(token.body or b"", TokenType.INCIDENT).digest
    except VerificationError:
        return None
    entry = ijson.dump(_recorded(token, digest=digest, typ=TokenType.INCIDENT.value))
    return LogEntry(digest, "", accepted=False, entry=entry)


def _acceptance(token: Journalled, directory: Directory, now: datetime) -> dict[str, Any] | None:
    """None when the letter is not authentic, or is not to this recipient."""
    recipient = token.routing_key.rpartition(".")[0]
    if token.type == UNREADABLE or not is_agency_code(recipient):
        return None
    try:
        opened = open_token(token.body or b"", TokenType.LETTER)
        signer = verify(opened, directory, purpose=KeyPurpose.SEAL, now=now).agency
        letter = parse_letter(opened.claims())
    except Refused:
        return None
    if not signer == token.publisher == letter.sender.agency or not _is_addressed(letter, recipient):
        return None
    claims = _claims(token, token.routing_key)
    claims["txn"] = letter.thread_id
    claims["sub_id"] = {
        "format": SUBJECT_FORMAT,
        "letter": letter.id,
        "recipient": recipient,
        "digest": token.digest,
    }
    claims["events"] = {ReceiptEvent.ACCEPTED.uri: {"sender": signer}}
    return claims


def _is_addressed(letter: Letter, recipient: str) -> bool:
    return any(each.agency == recipient for each in letter.recipients)


def _recorded(token: Journalled, *, digest: str | None = None, typ: str | None = None) -> dict[str, Any]:
    claims = _claims(token, token.routing_key if token.kind is JournalKind.LETTER else "")
    claims["sub_id"] = {"format": TOKEN_FORMAT, "digest": digest or token.digest}
    recipient = token.routing_key.rpartition(".")[0]
    if token.kind is JournalKind.LETTER and is_agency_code(recipient):
        claims["sub_id"]["recipient"] = recipient
    claims["events"] = {RECORDED: {"type": typ or token.type, "publisher": token.publisher or ""}}
    return claims


def _claims(token: Journalled, lane: str) -> dict[str, Any]:
    return {
        "iss": AUTHORITY,
        "jti": _jti(token.recorded_at, token.digest, lane),
        "toe": token.recorded_at // 1000,
    }


def _jti(milliseconds: int, digest: str, lane: str) -> str:
    """A UUIDv7 (RFC 9562 §5.7) that is the same whenever it is made for the same: its random part is a hash."""
    drawn = hashlib.sha256(f"{digest} {lane}".encode()).digest()
    raw = bytearray(milliseconds.to_bytes(6, "big") + drawn[:10])
    raw[6] = raw[6] & 0x0F | 0x70
    raw[8] = raw[8] & 0x3F | 0x80
    return str(uuid.UUID(bytes=bytes(raw)))
