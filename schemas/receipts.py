"""Receipts: Security Event Tokens (RFC 8417) whose one event is one of ETSI EN 319 522-3, or our own."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictInt, ValidationError

from schemas.errors import Language
from schemas.marks import AgencyCode, Digest, Identifier
from schemas.text import WireLine
from schemas.validation import json_pointer, refusal_of, schema_invalid

SUBJECT_FORMAT = "urn:x-tarasul:transmission"
_ETSI = "http://uri.etsi.org/19522/Event/"
_OURS = "urn:x-tarasul:event:"


class ReceiptEvent(StrEnum):
    """What a receipt says. See the table in docs/architecture.md."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    HELD = "held"
    DELIVERED = "delivered"
    NOT_DELIVERED = "not_delivered"
    HANDED_OVER = "handed_over"
    HAND_OVER_FAILED = "hand_over_failed"
    OPENED = "opened"
    REGISTERED = "registered"
    RETURNED = "returned"

    @property
    def uri(self) -> str:
        return _URIS[self]

    def label(self, language: Language) -> str:
        """As it stands on screen."""
        return _LABELS[self][0 if language == "ar" else 1]


_URIS: Mapping[ReceiptEvent, str] = {
    ReceiptEvent.ACCEPTED: _ETSI + "SubmissionAcceptance",
    ReceiptEvent.REJECTED: _ETSI + "SubmissionRejection",
    ReceiptEvent.HELD: _OURS + "held",
    ReceiptEvent.DELIVERED: _ETSI + "ContentConsignment",
    ReceiptEvent.NOT_DELIVERED: _ETSI + "ContentConsignmentFailure",
    ReceiptEvent.HANDED_OVER: _ETSI + "ContentHandover",
    ReceiptEvent.HAND_OVER_FAILED: _ETSI + "ContentHandoverFailure",
    ReceiptEvent.OPENED: _ETSI + "ContentAccessTracking",
    ReceiptEvent.REGISTERED: _OURS + "registered",
    ReceiptEvent.RETURNED: _OURS + "returned",
}
_EVENTS = {uri: event for event, uri in _URIS.items()}
_LABELS: Mapping[ReceiptEvent, tuple[str, str]] = {
    ReceiptEvent.ACCEPTED: ("قُبِل", "accepted"),
    ReceiptEvent.REJECTED: ("رُفِض", "refused"),
    ReceiptEvent.HELD: ("مُعلَّق", "held"),
    ReceiptEvent.DELIVERED: ("سُلِّم", "delivered"),
    ReceiptEvent.NOT_DELIVERED: ("تعذّر تسليمه", "not delivered"),
    ReceiptEvent.HANDED_OVER: ("أُدخل نظام الجهة", "handed over"),
    ReceiptEvent.HAND_OVER_FAILED: ("تعذّر إدخاله", "hand-over failed"),
    ReceiptEvent.OPENED: ("فُتح", "opened"),
    ReceiptEvent.REGISTERED: ("قُيِّد", "registered"),
    ReceiptEvent.RETURNED: ("أُعيد", "returned"),
}
RECIPIENT_EVENTS = frozenset(
    {
        ReceiptEvent.DELIVERED,
        ReceiptEvent.NOT_DELIVERED,
        ReceiptEvent.HANDED_OVER,
        ReceiptEvent.HAND_OVER_FAILED,
        ReceiptEvent.OPENED,
        ReceiptEvent.REGISTERED,
        ReceiptEvent.RETURNED,
    }
)
"""What the recipient's adapter may say about its own copy."""
AUTHORITY_EVENTS = frozenset(
    {ReceiptEvent.ACCEPTED, ReceiptEvent.REJECTED, ReceiptEvent.HELD, ReceiptEvent.NOT_DELIVERED}
)
"""What the central authority may say."""


REASONED_EVENTS = frozenset(
    {
        ReceiptEvent.REJECTED,
        ReceiptEvent.HELD,
        ReceiptEvent.NOT_DELIVERED,
        ReceiptEvent.HAND_OVER_FAILED,
        ReceiptEvent.RETURNED,
    }
)
"""Bad news, which is never without a coded reason."""


LATEST_SECOND = 253_402_214_400
"""30 December 9999: the last day that every calendar and time zone can write."""
Seconds = Annotated[StrictInt, Field(ge=0, le=LATEST_SECOND)]
"""Since 1970."""


class _Wire(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)


class ReceiptSubject(_Wire):
    """Which letter, to whom: matched by digest. ``letter`` is absent when the letter could not be read."""

    format: Annotated[str, Field(pattern=f"^{SUBJECT_FORMAT}$")]
    letter: Annotated[str, Field(max_length=64)] | None = None
    recipient: AgencyCode
    digest: Digest


class EventDetails(_Wire):
    """What an event says beside its name. A code that this release does not know is kept as it is."""

    reason: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")] | None = None
    incoming_no: WireLine | None = None


class Receipt(_Wire):
    """The claims of a receipt. ``iat`` and ``toe`` are whole seconds since 1970."""

    iss: AgencyCode
    aud: AgencyCode
    jti: Identifier
    iat: Seconds
    toe: Seconds
    txn: Annotated[str, Field(max_length=64)] | None = None
    sub_id: ReceiptSubject
    events: Annotated[dict[str, EventDetails], Field(min_length=1, max_length=1)]

    @property
    def event(self) -> ReceiptEvent:
        return _EVENTS[next(iter(self.events))]

    @property
    def details(self) -> EventDetails:
        return next(iter(self.events.values()))

    @property
    def reason(self) -> str | None:
        return self.details.reason

    @property
    def incoming_no(self) -> str | None:
        return self.details.incoming_no


def build_receipt(
    *,
    event: ReceiptEvent,
    issuer: str,
    audience: str,
    jti: str,
    issued_at: int,
    occurred_at: int,
    thread_id: str | None,
    letter_id: str | None,
    recipient: str,
    digest: str,
    details: Mapping[str, Any],
) -> dict[str, Any]:
    """The claims of a receipt, ready to be signed. Times are whole seconds since 1970."""
    subject: dict[str, Any] = {"format": SUBJECT_FORMAT, "recipient": recipient, "digest": digest}
    if letter_id is not None:
        subject["letter"] = letter_id
    claims: dict[str, Any] = {
        "iss": issuer,
        "aud": audience,
        "jti": jti,
        "iat": issued_at,
        "toe": occurred_at,
        "sub_id": subject,
        "events": {event.uri: dict(details)},
    }
    if thread_id is not None:
        claims["txn"] = thread_id
    return claims


def parse_receipt(claims: dict[str, Any]) -> Receipt:
    """Read the claims of a receipt.

    Raises:
        Refused: ``schema_invalid``; also for no event, several events, one that this release does not know,
            bad news without a reason, or a registration without its number.
    """
    try:
        receipt = Receipt.model_validate(claims)
    except ValidationError as error:
        raise refusal_of(error) from error
    uri = next(iter(receipt.events))
    if uri not in _EVENTS:
        raise schema_invalid("/events", "الحدث غير معروف", "no event that is known")
    needed = required_detail(receipt.event)
    if needed is not None and getattr(receipt.details, needed) is None:
        raise schema_invalid("/events" + json_pointer([uri, needed]), "بيان لازم غير موجود", "is required")
    return receipt


def required_detail(event: ReceiptEvent) -> str | None:
    """Name of the detail without which ``event`` says nothing; None for an event that needs none."""
    if event is ReceiptEvent.REGISTERED:
        return "incoming_no"
    return "reason" if event in REASONED_EVENTS else None
