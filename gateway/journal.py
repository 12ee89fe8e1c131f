"""The journal's rows: what a message of the stream is, taken apart as far as it can be without believing it."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from broker.consuming import Delivery
from broker.frames import OFFSET_HEADER
from broker.names import DEAD_LETTER_ROUTING_KEY
from schemas.identifiers import DIGEST_PATTERN, is_agency_code
from trust.errors import VerificationError
from trust.token import OpenedToken, TokenType, open_token

STATEMENT_HEADER = "statement"
UNREADABLE = "unreadable"
MOST_TOKENS = 1024
"""In one message of receipts; what follows is recorded as one piece. An adapter sends at most 64."""
MOST_FAULTS = 64
"""After so many lines that are no tokens the rest is one piece: a message of line feeds must not be a million rows."""
_FROM = "from."
_DIGEST = re.compile(DIGEST_PATTERN)


class JournalKind(StrEnum):
    """What a message is, by the key under which it was published."""

    LETTER = "letter"
    RECEIPTS = "receipts"
    DEAD_LETTER = "dead_letter"
    OTHER = "other"


_KIND_OF_LANE = {
    "urgent": JournalKind.LETTER,
    "routine": JournalKind.LETTER,
    "notice": JournalKind.RECEIPTS,
}


@dataclass(frozen=True, slots=True)
class JournalToken:
    """A token in a message, by its shape alone.

    Attributes:
        digest: its identity; of the bytes where they are no token.
        type: its ``typ``, or :data:`UNREADABLE`.
        about: of a receipt or statement, the digest that it speaks of, as it says.
    """

    digest: str
    type: str
    about: str | None = None


@dataclass(frozen=True, slots=True)
class JournalMessage:
    """One message of the stream.

    Attributes:
        offset: its place; offsets grow and are not contiguous.
        publisher: the agency whose exchange it was published to; the broker vouches for it.
        message_digest: of routing key, statement and body, by which the message is known again.
        tokens: in their order.
    """

    offset: int
    exchange: str
    routing_key: str
    publisher: str | None
    kind: JournalKind
    statement: bytes | None
    body: bytes
    message_digest: str
    tokens: tuple[JournalToken, ...]


def publisher_of(exchange: str) -> str | None:
    """The agency that alone may write to ``exchange``; None for any other exchange."""
    code = exchange.removeprefix(_FROM)
    return code if exchange.startswith(_FROM) and is_agency_code(code) else None


def kind_of(routing_key: str) -> JournalKind:
    """What is published under ``routing_key``."""
    if routing_key == DEAD_LETTER_ROUTING_KEY or routing_key.startswith(f"{DEAD_LETTER_ROUTING_KEY}."):
        return JournalKind.DEAD_LETTER
    return _KIND_OF_LANE.get(routing_key.rpartition(".")[2], JournalKind.OTHER)


def statement_of(delivery: Delivery) -> bytes | None:
    """The signed statement in a message's header."""
    statement = delivery.headers.get(STATEMENT_HEADER)
    return statement.encode("utf-8", "surrogateescape") if isinstance(statement, str) else None


def storable(text: str) -> str:
    """``text`` as either database takes it: PostgreSQL has no NUL in texts, neither has lone surrogates."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\x00")


def identify(token: bytes, expected: TokenType) -> JournalToken:
    """What ``token`` is, by its shape alone."""
    try:
        opened = open_token(token, expected)
    except VerificationError:
        return JournalToken(hashlib.sha256(token).hexdigest(), UNREADABLE)
    return JournalToken(opened.digest, expected.value, _about(opened))


def _about(token: OpenedToken) -> str | None:
    if token.typ is TokenType.LETTER:
        return None
    try:
        claims = token.claims()
    except VerificationError:
        return None
    subject = claims.get("sub_id") if token.typ is TokenType.RECEIPT else claims
    digest = subject.get("digest") if isinstance(subject, dict) else None
    return digest if isinstance(digest, str) and _DIGEST.fullmatch(digest) else None


def _receipts(body: bytes) -> Iterator[JournalToken]:
    lines = body.split(b"\n", MOST_TOKENS)
    faults = 0
    for number, line in enumerate(lines):
        if number == MOST_TOKENS or faults == MOST_FAULTS:
            yield identify(b"\n".join(lines[number:]), TokenType.RECEIPT)
            return
        token = identify(line, TokenType.RECEIPT)
        faults += token.type == UNREADABLE
        yield token


def read_message(delivery: Delivery) -> JournalMessage:
    """A delivery of the stream as the journal records it.

    Raises:
        ValueError: it carries no offset, so it is none of a stream.
    """
    offset = delivery.headers.get(OFFSET_HEADER)
    if not isinstance(offset, int):
        raise ValueError(f"a delivery of {delivery.queue} without {OFFSET_HEADER}")  # noqa: TRY004 - content, not type
    statement = statement_of(delivery)
    kind = kind_of(delivery.routing_key)
    if kind is JournalKind.RECEIPTS:
        tokens = tuple(_receipts(delivery.body))
    elif kind is JournalKind.DEAD_LETTER:
        about = (identify(statement, TokenType.DEAD_LETTER),) if statement is not None else ()
        tokens = (*about, identify(delivery.body, TokenType.LETTER))
    else:
        tokens = (identify(delivery.body, TokenType.LETTER),)
    whole = hashlib.sha256()
    for part in (delivery.exchange.encode(), delivery.routing_key.encode(), statement or b"", delivery.body):
        whole.update(len(part).to_bytes(8, "big") + part)
    return JournalMessage(
        offset=offset,
        exchange=storable(delivery.exchange),
        routing_key=storable(delivery.routing_key),
        publisher=publisher_of(delivery.exchange),
        kind=kind,
        statement=statement,
        body=delivery.body,
        message_digest=whole.hexdigest(),
        tokens=tokens,
    )
