"""Judging what the broker delivered: pure, one message at a time, never raising for content.

A message in an inbox is first judged by its *transport* (the exchange is the publisher's identity, and the broker
vouches for it), then by its *signature*, then by its *content*. Until the signature of the agency that owns the
exchange has been found good, nobody is answered: any holder of a copy has genuine bytes and could replay them, so
what is not authentic becomes an incident. From there on the sender is answered with a signed receipt, whatever is
wrong with the letter.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from broker.names import letter_routing_key
from broker.session import Delivery
from schemas.envelope import Lane, Letter, Secrecy, lane_of, parse_letter
from schemas.errors import ErrorCode, Refused
from schemas.letter_checks import LONGEST_LEAD, check_letter
from schemas.reasons import IncidentReason, NonDeliveryReason
from trust.directory import Directory
from trust.errors import VerificationError
from trust.token import OpenedToken, TokenType, open_token
from trust.verification import verify

BROKER_HEADERS = frozenset({"x-delivery-count", "x-acquired-count"})
"""Set by the broker on a redelivery from a quorum queue (the second from 4.3 on). A letter needs no other."""


LONGEST_IDENTIFIER = 64


@dataclass(frozen=True, slots=True)
class Incident:
    """Not authentic: quarantined, answered to nobody.

    Attributes:
        reason: coded.
        explanation: what was found, in English, for the operator; never content.
        claimed_sender: what the token says of itself.
    """

    reason: IncidentReason
    explanation: str
    claimed_sender: str | None = None


@dataclass(frozen=True, slots=True)
class Undeliverable:
    """Authentic, and cannot be delivered: the sender gets a signed receipt with the reason."""

    reason: NonDeliveryReason
    explanation: str
    sender: str
    digest: str
    letter_id: str | None
    thread_id: str | None


@dataclass(frozen=True, slots=True)
class Deliverable:
    """Authentic and in order. Whether it is new, a duplicate or a reused id, the store decides."""

    sender: str
    digest: str
    letter: Letter
    role: str
    lane: Lane
    expires_at: datetime


Judged = Incident | Undeliverable | Deliverable

_INCIDENT_OF_ERROR: Mapping[ErrorCode, IncidentReason] = {
    ErrorCode.KEY_UNKNOWN: IncidentReason.KEY_UNKNOWN,
    ErrorCode.KEY_WRONG_PURPOSE: IncidentReason.KEY_WRONG_PURPOSE,
    ErrorCode.KEY_COMPROMISED: IncidentReason.KEY_COMPROMISED,
    ErrorCode.TOKEN_TYPE_WRONG: IncidentReason.WRONG_TOKEN_TYPE,
    ErrorCode.TOKEN_TOO_LARGE: IncidentReason.TOKEN_TOO_LARGE,
    ErrorCode.SIGNATURE_INVALID: IncidentReason.SIGNATURE_INVALID,
    ErrorCode.ALGORITHM_MISMATCH: IncidentReason.SIGNATURE_INVALID,
    ErrorCode.CERTIFICATE_DIGEST_MISMATCH: IncidentReason.SIGNATURE_INVALID,
}

_NON_DELIVERY_OF_ERROR: Mapping[ErrorCode, NonDeliveryReason] = {
    ErrorCode.KEY_NOT_YET_VALID: NonDeliveryReason.KEY_NOT_YET_VALID,
    ErrorCode.KEY_EXPIRED: NonDeliveryReason.KEY_EXPIRED,
    ErrorCode.KEY_REVOKED: NonDeliveryReason.KEY_EXPIRED,
    ErrorCode.ISSUED_IN_FUTURE: NonDeliveryReason.ISSUED_IN_FUTURE,
    ErrorCode.TYPE_UNKNOWN: NonDeliveryReason.TYPE_UNKNOWN,
    ErrorCode.SENDER_NOT_ALLOWED: NonDeliveryReason.NOT_ALLOWED,
}


def incident_reason(error: VerificationError) -> IncidentReason:
    """The incident that a failed verification is."""
    return _INCIDENT_OF_ERROR.get(error.code, IncidentReason.TOKEN_MALFORMED)


def transport_incident(delivery: Delivery, expected_routing_key: str) -> tuple[IncidentReason, str] | None:
    """What the transport of a message alone gives away: tricks that an honest adapter never plays.

    Source: docs/threat-model.md, which names the test of each.
    """
    for header, reason in (("CC", IncidentReason.CARRIES_CC), ("BCC", IncidentReason.CARRIES_BCC)):
        if header in delivery.headers:
            return reason, f"carries a {header} header"
    if delivery.expiration is not None:
        return IncidentReason.CARRIES_EXPIRATION, "carries an expiration"
    foreign = sorted(set(delivery.headers) - BROKER_HEADERS)
    if foreign:
        # Names are a stranger's choice, and an operator will read them.
        return IncidentReason.CARRIES_FOREIGN_HEADER, f"carries headers {', '.join(ascii(n[:40]) for n in foreign[:5])}"
    if delivery.routing_key != expected_routing_key:
        return IncidentReason.ROUTING_KEY_FOREIGN, f"routing key {delivery.routing_key[:80]!r}"
    return None


def publisher_of(delivery: Delivery) -> str | None:
    """The agency whose exchange a message came through; None for any other exchange."""
    return delivery.exchange.removeprefix("from.") if delivery.exchange.startswith("from.") else None


def judge_letter(delivery: Delivery, me: str, lane: Lane, directory: Directory, now: datetime) -> Judged:
    """Judge a message from the inbox of agency ``me``.

    Args:
        delivery: as the broker delivered it.
        me: code of this agency.
        lane: of the queue it was in.
        directory: in force now.
        now: the instant of arrival.
    """
    publisher = publisher_of(delivery)
    if publisher is None:
        return Incident(IncidentReason.FOREIGN_EXCHANGE, f"came through {delivery.exchange[:80]!r}")
    trick = transport_incident(delivery, letter_routing_key(me, lane))
    if trick is not None:
        return Incident(*trick)
    try:
        token = open_token(delivery.body, TokenType.LETTER)
    except VerificationError as error:
        return Incident(incident_reason(error), str(error))
    try:
        key = verify(token, directory, purpose="seal", now=now)
    except VerificationError as error:
        return _unverified(error, token, publisher, directory)
    if key.agency != publisher:
        return Incident(
            IncidentReason.FOREIGN_EXCHANGE,
            f"signed by {key.agency}, published through {delivery.exchange}",
            claimed_sender=key.agency,
        )
    return _judge_content(token, publisher, me, lane, directory, now)


def _unverified(
    error: VerificationError, token: OpenedToken, publisher: str, directory: Directory
) -> Incident | Undeliverable:
    key = directory.key(token.kid)
    claimed = key.agency if key is not None else None
    reason = _NON_DELIVERY_OF_ERROR.get(error.code)
    if reason is not None and error.signature_good and claimed == publisher:
        letter_id, thread_id = _glimpse(token)
        return Undeliverable(reason, str(error), publisher, token.digest, letter_id, thread_id)
    return Incident(incident_reason(error), str(error), claimed_sender=claimed)


def _judge_content(  # noqa: C901, PLR0911 - one return for each reason
    token: OpenedToken, sender: str, me: str, lane: Lane, directory: Directory, now: datetime
) -> Undeliverable | Deliverable:
    letter_id: str | None = None
    thread_id: str | None = None

    def undeliverable(reason: NonDeliveryReason, explanation: str) -> Undeliverable:
        return Undeliverable(reason, explanation, sender, token.digest, letter_id, thread_id)

    try:
        claims = token.claims()
    except VerificationError as error:
        return undeliverable(NonDeliveryReason.PAYLOAD_MALFORMED, str(error))
    letter_id, thread_id = _identifiers(claims)
    try:
        letter = parse_letter(claims)
    except Refused as refusal:
        reason = _NON_DELIVERY_OF_ERROR.get(refusal.code, NonDeliveryReason.SCHEMA_INVALID)
        return undeliverable(reason, str(refusal))
    if letter.sender.agency != sender:
        return undeliverable(
            NonDeliveryReason.NOT_ALLOWED, f"names {letter.sender.agency} as its sender, signed by {sender}"
        )
    if letter.issued_at_instant.timestamp() > token.iat + LONGEST_LEAD.total_seconds():
        # Its deadline counts from its date, so a date ahead would put off the expiry for as long as one likes.
        return undeliverable(NonDeliveryReason.ISSUED_IN_FUTURE, f"issued {letter.issued_at}, signed {token.iat}")
    mine = [recipient for recipient in letter.recipients if recipient.agency == me]
    if len(mine) != 1:
        return undeliverable(NonDeliveryReason.NOT_ADDRESSED, f"{me} stands {len(mine)} times among the recipients")
    if letter.encrypted is not None or letter.secrecy in (Secrecy.CONFIDENTIAL, Secrecy.SECRET):
        return undeliverable(NonDeliveryReason.ENCRYPTED_NOT_SUPPORTED, f"secrecy {letter.secrecy}")
    try:
        check_letter(letter)
    except Refused as refusal:
        reason = _NON_DELIVERY_OF_ERROR.get(refusal.code, NonDeliveryReason.SCHEMA_INVALID)
        return undeliverable(reason, str(refusal))
    if letter.content is not None and letter.content.attachments:
        return undeliverable(NonDeliveryReason.ATTACHMENTS_NOT_SUPPORTED, "carries attachments")
    entry = directory.agency(sender)
    if entry is None or not entry.may_send_type(letter.type):
        return undeliverable(NonDeliveryReason.NOT_ALLOWED, f"{sender} may not send {letter.type}")
    if lane_of(letter.type, letter.urgency) != lane:
        return undeliverable(NonDeliveryReason.LANE_MISMATCH, f"{letter.urgency} came through lane {lane}")
    if letter.expires_at_instant < now:
        return undeliverable(NonDeliveryReason.LATE, f"expired {letter.expires_at}")
    return Deliverable(sender, token.digest, letter, mine[0].role.value, lane, letter.expires_at_instant)


def _glimpse(token: OpenedToken) -> tuple[str | None, str | None]:
    try:
        return _identifiers(token.claims())
    except VerificationError:
        return None, None


def _identifiers(claims: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Letter and thread id for the receipt, if they are what they should be; the letter may be malformed."""
    return _identifier(claims.get("id")), _identifier(claims.get("thread_id"))


def _identifier(value: object) -> str | None:
    return value if isinstance(value, str) and len(value) <= LONGEST_IDENTIFIER else None
