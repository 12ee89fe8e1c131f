"""رد: answers a cited letter; a final one closes the thread."""

from enum import StrEnum

from pydantic import StrictBool

from schemas.letter_type import ChecklistItem, CitedLetter, LetterType, TypeFields


class Outcome(StrEnum):
    ACCEPTED = "ACCEPTED"
    PARTIAL = "PARTIAL"
    DECLINED = "DECLINED"
    INFO = "INFO"
    NOT_COMPETENT = "NOT_COMPETENT"


class ReplyFields(TypeFields):
    """``final`` closes the thread."""

    in_reply_to: CitedLetter
    outcome: Outcome
    final: StrictBool


TYPE = LetterType(
    name="reply/1",
    ar="رد",
    en="reply",
    fields=ReplyFields,
    checklist=(
        ChecklistItem(
            code="partial_is_not_final",
            ar="الرد الجزئي لا يكون نهائياً",
            en="a partial reply is not final",
            pointer="/content/fields/final",
            satisfied=lambda request: (
                request.content.fields.get("outcome") != Outcome.PARTIAL or not request.content.fields.get("final")
            ),
        ),
    ),
)
