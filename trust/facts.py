"""What a verified document says, in the few facts by which a reader recognises it. No member is taken on faith."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from schemas.hijri import printed
from schemas.letter import Letter
from schemas.receipts import Receipt
from schemas.statements import DeadLetterStatement
from schemas.type_registry import letter_type
from trust.directory import Directory
from trust.token import OpenedToken

LABELS: Mapping[str, tuple[str, str]] = {
    "id": ("المعرّف", "id"),
    "outgoing_no": ("رقم الصادر", "outgoing no."),
    "type": ("النوع", "type"),
    "type_name": ("اسم النوع", "type's name"),
    "sender": ("من", "from"),
    "recipients": ("إلى", "to"),
    "issued_at": ("التاريخ", "issued"),
    "hijri_date": ("التاريخ الهجري", "Hijri date"),
    "hijri_printed": ("كما يُطبع", "as printed"),
    "expires_at": ("آخر موعد للتسليم", "last moment of delivery"),
    "secrecy": ("السرية", "secrecy"),
    "urgency": ("الأهمية", "urgency"),
    "subject": ("الموضوع", "subject"),
    "encrypted": ("مشفّر", "encrypted"),
    "event": ("الحدث", "event"),
    "event_name": ("اسم الحدث", "event's name"),
    "issuer": ("أصدرها", "issued by"),
    "audience": ("موجّهة إلى", "addressed to"),
    "letter": ("معرّف الكتاب", "the letter's id"),
    "recipient": ("نسخة الجهة", "copy of"),
    "letter_digest": ("بصمة الكتاب", "the letter's digest"),
    "occurred_at": ("وقت الحدث", "it happened"),
    "incoming_no": ("رقم الوارد", "incoming no."),
    "reason": ("السبب", "reason"),
    "stage": ("المرحلة", "stage"),
    "attempts": ("المحاولات", "attempts"),
    "message_digest": ("بصمة الرسالة", "the message's digest"),
    "received_at": ("وصلت", "arrived"),
    "given_up_at": ("تُركت", "given up"),
    "digest": ("بصمة الوثيقة", "digest"),
}
"""Arabic and English name of every fact, in the order of printing."""


def facts_of(
    document: Letter | Receipt | DeadLetterStatement, token: OpenedToken, directory: Directory
) -> dict[str, Any]:
    """The facts of a document, ready for JSON; a member without a value is left out.

    Args:
        document: the token's payload, read.
        token: verified.
        directory: for the agencies' names.
    """
    if isinstance(document, Letter):
        facts = _of_letter(document, directory)
    elif isinstance(document, Receipt):
        facts = _of_receipt(document, directory)
    else:
        facts = _of_dead_letter(document, directory)
    facts["digest"] = token.digest
    return {name: facts[name] for name in LABELS if facts.get(name) is not None}


def named(code: str, directory: Directory) -> dict[str, str]:
    """An agency's code with both names; the code alone if it is not in the directory."""
    entry = directory.agency(code)
    return {"agency": code} if entry is None else {"agency": code, "name_ar": entry.name_ar, "name_en": entry.name_en}


def instant(seconds: int) -> str:
    """Seconds since 1970 as an instant; one that no calendar has stays a number."""
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat()
    except (OverflowError, ValueError, OSError):
        return str(seconds)


def _of_letter(letter: Letter, directory: Directory) -> dict[str, Any]:
    kind = letter_type(letter.type)
    return {
        "id": letter.id,
        "outgoing_no": letter.outgoing_no,
        "type": letter.type,
        "type_name": {"ar": kind.ar, "en": kind.en},
        "sender": named(letter.sender.agency, directory),
        "recipients": [
            named(recipient.agency, directory) | {"role": recipient.role.value} for recipient in letter.recipients
        ],
        "issued_at": letter.issued_at,
        "hijri_date": letter.hijri_date,
        "hijri_printed": None if letter.hijri_date is None else _printed(letter.hijri_date),
        "expires_at": letter.expires_at,
        "secrecy": letter.secrecy.value,
        "urgency": letter.urgency.value,
        "subject": None if letter.content is None else letter.content.subject,
        "encrypted": True if letter.content is None else None,
    }


def _printed(hijri_date: str) -> str | None:
    try:
        return printed(hijri_date)
    except ValueError:
        return None  # on the wire any line may stand there


def _of_receipt(receipt: Receipt, directory: Directory) -> dict[str, Any]:
    return {
        "event": receipt.event.value,
        "event_name": {"ar": receipt.event.label("ar"), "en": receipt.event.label("en")},
        "id": receipt.jti,
        "issuer": named(receipt.iss, directory),
        "audience": named(receipt.aud, directory),
        "letter": receipt.sub_id.letter,
        "recipient": named(receipt.sub_id.recipient, directory),
        "letter_digest": receipt.sub_id.digest,
        "occurred_at": instant(receipt.toe),
        "incoming_no": receipt.incoming_no,
        "reason": receipt.reason,
    }


def _of_dead_letter(statement: DeadLetterStatement, directory: Directory) -> dict[str, Any]:
    return {
        "issuer": named(statement.iss, directory),
        "recipient": named(statement.recipient, directory),
        "message_digest": statement.digest,
        "reason": statement.reason,
        "stage": statement.stage,
        "attempts": statement.attempts,
        "received_at": instant(statement.received_at),
        "given_up_at": instant(statement.given_up_at),
    }
