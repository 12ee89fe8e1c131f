"""On-screen words, Arabic and English, for the codes that an adapter answers with.

What the catalogues of :mod:`schemas` name is taken from there; here stand the steps and states that exist
only in an adapter's own store. An unknown code (of a later release) is shown as it is.
"""

from collections.abc import Mapping

from schemas.delivery import TransmissionState
from schemas.reasons import reason_text
from schemas.receipts import ReceiptEvent


def _event(event: ReceiptEvent) -> tuple[str, str]:
    return event.label("ar"), event.label("en")


STEPS: Mapping[str, tuple[str, str]] = {
    "stored": ("حُفظ للإرسال", "stored"),
    "sent": ("أُرسل", "sent"),
    "issued": ("أُصدر", "issued"),
    "arrived": ("وصل", "arrived"),
} | {event.value: _event(event) for event in ReceiptEvent}
"""Steps of a timeline."""

INBOX_STATES: Mapping[str, tuple[str, str]] = {
    "received": ("مستلم", "received"),
    "awaiting_attachments": ("بانتظار المرفقات", "awaiting attachments"),
    "registered": ("مقيَّد", "registered"),
    "returned": ("معاد للجهة", "returned"),
}

TRANSMISSION_STATES: Mapping[str, tuple[str, str]] = {
    TransmissionState.ACCEPTED.value: ("محفوظ للإرسال", "stored for sending"),
    TransmissionState.SENT.value: ("أُرسل", "sent"),
    TransmissionState.HELD.value: _event(ReceiptEvent.HELD),
    TransmissionState.DELIVERED.value: _event(ReceiptEvent.DELIVERED),
    TransmissionState.NOT_DELIVERED.value: _event(ReceiptEvent.NOT_DELIVERED),
    TransmissionState.REFUSED.value: _event(ReceiptEvent.REJECTED),
}

ROLES: Mapping[str, tuple[str, str]] = {"to": ("المرسل إليه", "to"), "cc": ("نسخة إلى", "copy")}

URGENCIES: Mapping[str, tuple[str, str]] = {
    "ROUTINE": ("عادي", "routine"),
    "URGENT": ("عاجل", "urgent"),
    "VERY_URGENT": ("عاجل جداً", "very urgent"),
    "IMMEDIATE": ("فوري", "immediate"),
}

AGENCY_STATUSES: Mapping[str, tuple[str, str]] = {
    "active": ("مفعّلة", "active"),
    "suspended": ("موقوفة", "suspended"),
    "revoked": ("ملغاة", "revoked"),
    "merged": ("مدموجة", "merged"),
}

DEPENDENCIES: Mapping[str, tuple[str, str]] = {
    "store": ("المخزن", "store"),
    "broker": ("الوسيط", "broker"),
    "directory": ("الدليل", "directory"),
    "keys": ("المفاتيح", "keys"),
}
"""What an adapter cannot work without."""


def words(labels: Mapping[str, tuple[str, str]], code: str) -> tuple[str, str]:
    """Arabic and English for ``code``; an unknown one stands for itself."""
    return labels.get(code, ("", code))


def reason_words(code: str) -> tuple[str, str]:
    """Arabic and English for a reason: of a refusal, a return, an incident."""
    text = reason_text(code)
    return ("", code) if text is None else (text.ar, text.en)
