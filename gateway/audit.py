"""Judging a dead letter: pure. Who published it, is it authentic, has anybody answered, and what the authority says.

*Authentic* is what was signed by an agency and published through that agency's exchange. The exchange that the broker
reports is the publisher's identity, but for what the broker itself dead-lettered: there it is the dead-letter exchange,
and ``x-death`` can be forged. Its publisher is looked up in the journal, by digest and lane; until the journal has read
that far, the entry waits; a day at most: what the journal does not know by then it has lost, or never had.

Whether somebody has answered a letter only the journal knows, and it is read with a lag. So nothing is answered before
the journal has been read past what the stream held when the dead letter was stored: however long that takes.

Of the headers one thing counts, and only against somebody: what no adapter sets, a time to live before all. If others
than the signer have published the same letter, a copy that carries such a thing was one of theirs.
"""

from dataclasses import dataclass
from datetime import datetime

from gateway.journal import JournalKind, identify, kind_of, publisher_of
from gateway.verdict import Verdict
from schemas.directory import AgencyStatus
from schemas.errors import Refused
from schemas.identifiers import AUTHORITY, RESERVED, is_agency_code
from schemas.letter import parse_letter
from schemas.reasons import HeldReason, IncidentReason, NonDeliveryReason
from schemas.statements import parse_dead_letter
from trust.directory import Directory
from trust.errors import VerificationError
from trust.token import OpenedToken, TokenType, open_token
from trust.verification import verify

SEAL = "seal"
PUBLISHER_UNKNOWN = "publisher_unknown"
JOURNAL_BEHIND = "journal_behind"


@dataclass(frozen=True, slots=True)
class Evidence:
    """A dead letter as it is stored.

    Attributes:
        queue, exchange, routing_key: as delivered to the audit worker.
        body: its bytes, or the first of them.
        body_digest: of all of them.
        statement: in its header, if there is one.
        whole: False when ``body`` was cut: then it is no token, whatever its beginning looks like.
        foreign: it carries what no adapter sets.
    """

    queue: str
    exchange: str
    routing_key: str
    body: bytes
    body_digest: str
    statement: bytes | None
    whole: bool = True
    foreign: bool = False


@dataclass(frozen=True, slots=True)
class Known:
    """What the journal knows of a token.

    Attributes:
        publishers: who published it under this routing key.
        answered_by: who has published a receipt about it.
        in_time: False when it has waited for the journal long enough.
        current: the journal has been read past what the stream held when the dead letter was stored.
    """

    publishers: frozenset[str] = frozenset()
    answered_by: frozenset[str] = frozenset()
    in_time: bool = True
    current: bool = False


@dataclass(frozen=True, slots=True)
class Judgement:
    """The result.

    Attributes:
        verdict: see there.
        reason: coded: of a refusal, of what is held, of an incident, or the adapter's own.
        explanation: for the operator, in English; never content.
        digest: of the token, or of the bytes.
        type: its ``typ``, or ``unreadable``.
        publisher, signer: as far as they are known.
        letter_id, thread_id: of an authentic letter.
        recipient: whose copy it is about.
        addressee: to whom the receipt goes; None for nobody.
        warned: who gets an incident notice: those who published what they did not sign.
        until: of what is held: the letter's last moment of delivery, RFC 3339.
        attempts: as a statement says, else 1.
    """

    verdict: Verdict
    reason: str
    explanation: str
    digest: str
    type: str = "unreadable"
    publisher: str | None = None
    signer: str | None = None
    letter_id: str | None = None
    thread_id: str | None = None
    recipient: str | None = None
    addressee: str | None = None
    warned: tuple[str, ...] = ()
    until: str | None = None
    attempts: int = 1


def identity(evidence: Evidence) -> str:
    """Under which digest the journal knows the dead letter: of an adapter's record, its statement's if it has one."""
    kind = kind_of(evidence.routing_key)
    if kind is JournalKind.DEAD_LETTER and evidence.statement is not None:
        return identify(evidence.statement, TokenType.DEAD_LETTER).digest
    if not evidence.whole:
        return evidence.body_digest
    return identify(evidence.body, TokenType.RECEIPT if kind is JournalKind.RECEIPTS else TokenType.LETTER).digest


def judge(evidence: Evidence, known: Known, directory: Directory, now: datetime) -> Judgement:
    """Judge one dead letter.

    Args:
        evidence: as stored.
        known: what the journal knows under :func:`identity`.
        directory: in force now.
        now: aware.
    """
    digest = identity(evidence)
    by_exchange = publisher_of(evidence.exchange)
    publishers = known.publishers if by_exchange is None else frozenset({by_exchange})
    kind = kind_of(evidence.routing_key)
    if kind is JournalKind.RECEIPTS:
        return Judgement(
            Verdict.FILED, "receipt", "a receipt never causes a receipt", digest, publisher=_one(publishers)
        )
    if not publishers:
        explanation = f"the journal does not know {'yet ' if known.in_time else ''}who published it"
        verdict = Verdict.WAITING if known.in_time or not known.current else Verdict.FILED
        return Judgement(verdict, PUBLISHER_UNKNOWN, explanation, digest)
    if by_exchange is None and not known.current:
        # There may be more publishers, the true one among them.
        return _behind(digest)
    judgement = _of_publishers(evidence, known, digest, publishers, directory, now)
    return judgement if known.current or judgement.addressee is None else _behind(digest)


def _behind(digest: str) -> Judgement:
    explanation = "the journal has not been read past what stood in its stream when this was stored"
    return Judgement(Verdict.WAITING, JOURNAL_BEHIND, explanation, digest)


def _of_publishers(
    evidence: Evidence, known: Known, digest: str, publishers: frozenset[str], directory: Directory, now: datetime
) -> Judgement:
    kind = kind_of(evidence.routing_key)
    if kind is JournalKind.DEAD_LETTER:
        return _statement(evidence, digest, publishers, directory, now)
    if kind is JournalKind.LETTER:
        return _letter(evidence, digest, publishers, known.answered_by, directory, now)
    if publishers == {AUTHORITY}:
        return Judgement(Verdict.FILED, "order", "an order of our own was not taken", digest, publisher=AUTHORITY)
    explanation = f"routing key {evidence.routing_key[:80]!r}"
    return _incident(IncidentReason.ROUTING_KEY_FOREIGN, explanation, digest, publishers)


def _one(publishers: frozenset[str]) -> str | None:
    return next(iter(publishers)) if len(publishers) == 1 else None


def _incident(
    reason: IncidentReason, explanation: str, digest: str, publishers: frozenset[str], signer: str | None = None
) -> Judgement:
    return Judgement(
        Verdict.INCIDENT,
        reason.value,
        explanation,
        digest,
        publisher=_one(publishers),
        signer=signer,
        warned=_warned(publishers),
    )


def _warned(publishers: frozenset[str]) -> tuple[str, ...]:
    """The authority warns nobody of itself."""
    return tuple(sorted(publishers - {AUTHORITY}))


def _statement(
    evidence: Evidence, digest: str, publishers: frozenset[str], directory: Directory, now: datetime
) -> Judgement:
    """An adapter's word about its own copy: filed if it is that, without an answer in any case but to a forger."""
    try:
        token = open_token(evidence.statement or b"", TokenType.DEAD_LETTER)
        signer = _signer(token, directory, now)
        statement = parse_dead_letter(token.claims())
    except Refused as refusal:
        return _incident(IncidentReason.TOKEN_MALFORMED, f"statement: {refusal}", digest, publishers)
    if not signer == statement.iss == statement.recipient or signer not in publishers:
        explanation = f"{signer} states {statement.recipient}'s copy, published by {', '.join(sorted(publishers))}"
        return _incident(IncidentReason.STATEMENT_WRONG_SIGNER, explanation, digest, publishers, signer)
    return Judgement(
        Verdict.FILED,
        statement.reason,
        f"{signer} gave it up at its {statement.stage}",
        statement.digest,
        type=TokenType.DEAD_LETTER.value,
        publisher=publisher_of(statement.exchange),
        signer=signer,
        recipient=signer,
        attempts=statement.attempts,
    )


def _signer(token: OpenedToken, directory: Directory, now: datetime) -> str:
    """Whose key signed ``token``: one that has run out did sign.

    Raises:
        VerificationError: no key of the directory did.
    """
    try:
        return verify(token, directory, purpose=SEAL, now=now).agency
    except VerificationError as error:
        key = directory.key(token.kid)
        if key is None or not error.signature_good:
            raise
        return key.agency


def _letter(
    evidence: Evidence,
    digest: str,
    publishers: frozenset[str],
    answered_by: frozenset[str],
    directory: Directory,
    now: datetime,
) -> Judgement:
    try:
        if not evidence.whole:
            return _incident(IncidentReason.TOKEN_TOO_LARGE, "larger than any letter", digest, publishers)
        token = open_token(evidence.body, TokenType.LETTER)
    except VerificationError as error:
        return _incident(IncidentReason.TOKEN_MALFORMED, str(error), digest, publishers)
    try:
        signer = _signer(token, directory, now)
    except VerificationError as error:
        return _incident(IncidentReason.SIGNATURE_INVALID, str(error), digest, publishers)
    others = publishers - {signer}
    if signer not in publishers or (evidence.foreign and others):
        explanation = f"signed by {signer}, published by {', '.join(sorted(others))}"
        return _incident(IncidentReason.FOREIGN_EXCHANGE, explanation, digest, others, signer)
    recipient = evidence.routing_key.rpartition(".")[0]
    if not is_agency_code(recipient):
        explanation = f"no agency has the code {recipient[:20]!r}"
        return _incident(IncidentReason.ROUTING_KEY_FOREIGN, explanation, digest, publishers, signer)
    # The same letter may have been published by its signer and replayed by others; which copy died the broker does
    # not say. The signer is answered, the others are warned.
    return _authentic(token, signer, recipient, publishers, answered_by, directory)


def _authentic(
    token: OpenedToken,
    signer: str,
    recipient: str,
    publishers: frozenset[str],
    answered_by: frozenset[str],
    directory: Directory,
) -> Judgement:
    letter_id, thread_id, until = _facts(token)
    entry = directory.agency(recipient)
    addressee: str | None = signer
    if recipient in answered_by:
        verdict, reason, explanation = Verdict.FILED, "answered", f"{recipient} has answered it"
        addressee = None
    elif entry is None and recipient not in RESERVED:
        verdict, reason = Verdict.REFUSED, NonDeliveryReason.RECIPIENT_UNKNOWN.value
        explanation = f"no agency has the code {recipient}"
    else:
        verdict, explanation = Verdict.HELD, f"the broker gave it up on its way to {recipient}"
        active = entry is None or entry.status is AgencyStatus.ACTIVE
        reason = (HeldReason.DEAD_LETTERED if active else HeldReason.RECIPIENT_NOT_ACTIVE).value
    return Judgement(
        verdict,
        reason,
        explanation,
        token.digest,
        type=token.typ.value,
        publisher=signer,
        signer=signer,
        letter_id=letter_id,
        thread_id=thread_id,
        recipient=recipient,
        addressee=addressee,
        warned=_warned(publishers - {signer}),
        until=until,
    )


def _facts(token: OpenedToken) -> tuple[str | None, str | None, str | None]:
    """Letter id, thread and last moment of delivery, as far as the payload can be read."""
    try:
        letter = parse_letter(token.claims())
    except Refused:
        return None, None, None
    return letter.id, letter.thread_id, letter.expires_at
