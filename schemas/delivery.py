"""The state of one transmission (one letter to one recipient), moved on by receipts in any order.

    accepted ─> sent ─> held ─> delivered | not_delivered | refused

Invariants: a terminal state is left in one case only, *delivered in time* over *not delivered (expired)*;
receipts may come late, twice and out of order. Whether a *delivered* was in time is judged by the authority's
record; an adapter that cannot know takes it as in time, because *expired never deletes what a recipient
holds*.
"""

from dataclasses import dataclass
from enum import StrEnum

from schemas.reasons import NonDeliveryReason
from schemas.receipts import ReceiptEvent


class TransmissionState(StrEnum):
    ACCEPTED = "accepted"
    SENT = "sent"
    HELD = "held"
    DELIVERED = "delivered"
    NOT_DELIVERED = "not_delivered"
    REFUSED = "refused"


TERMINAL_STATES = frozenset({TransmissionState.DELIVERED, TransmissionState.NOT_DELIVERED, TransmissionState.REFUSED})


class Effect(StrEnum):
    """What a receipt did.

    It ``advanced`` the state; ``repeated`` what was known; was ``added`` to the timeline without changing the
    state; or is a ``conflict`` with the outcome that stands: kept, shown and counted.
    """

    ADVANCED = "advanced"
    REPEATED = "repeated"
    ADDED = "added"
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True)
class Transition:
    state: TransmissionState
    effect: Effect


_TARGET = {
    ReceiptEvent.HELD: TransmissionState.HELD,
    ReceiptEvent.DELIVERED: TransmissionState.DELIVERED,
    ReceiptEvent.NOT_DELIVERED: TransmissionState.NOT_DELIVERED,
    ReceiptEvent.REJECTED: TransmissionState.REFUSED,
}
"""Every other event only adds to the timeline."""


def advance(
    state: TransmissionState,
    event: ReceiptEvent,
    *,
    current_reason: str | None = None,
    in_time: bool = True,
) -> Transition:
    """The state after ``event``, and what the event did.

    Args:
        state: before the event.
        event: of a genuine receipt by a lawful signer.
        current_reason: with which the transmission became *not delivered*, if it did.
        in_time: for *delivered*: whether the record has it before the expiry.
    """
    target = _TARGET.get(event)
    if target is None:
        return Transition(state, Effect.ADDED)
    if target is state:
        return Transition(state, Effect.REPEATED)
    if state not in TERMINAL_STATES:
        return Transition(target, Effect.ADVANCED)
    if target is TransmissionState.HELD:
        return Transition(state, Effect.ADDED)
    expired = state is TransmissionState.NOT_DELIVERED and current_reason == NonDeliveryReason.EXPIRED
    if expired and target is TransmissionState.DELIVERED and in_time:
        return Transition(target, Effect.ADVANCED)
    return Transition(state, Effect.CONFLICT)
