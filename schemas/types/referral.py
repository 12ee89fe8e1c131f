"""إحالة: passes a matter to the competent agency, with the letter that it came by."""

from enum import StrEnum
from typing import Annotated

from pydantic import FailFast, Field, StrictBool

from schemas.letter_type import ChecklistItem, CitedLetter, CivilNumber, LetterType, TypeFields
from schemas.marks import Action
from schemas.working_time import WorkingSpan


class Reason(StrEnum):
    COMPETENCE = "COMPETENCE"
    OPINION = "OPINION"
    ACTION = "ACTION"
    COMPLETION = "COMPLETION"


class ReferralFields(TypeFields):
    """``original`` cites what is referred, ``keeps_copy`` says whether the file stays with the sender too."""

    original: Annotated[tuple[CitedLetter, ...], Field(min_length=1, max_length=50), FailFast()]
    reason: Reason
    applicant_civil_id: CivilNumber | None = None
    keeps_copy: StrictBool


TYPE = LetterType(
    name="referral/1",
    ar="إحالة",
    en="referral",
    fields=ReferralFields,
    reply_required=True,
    reply_deadline=WorkingSpan(days=10),
    checklist=(
        ChecklistItem(
            code="opinion_asked",
            ar="الإحالة لإبداء الرأي يكون إجراؤها المطلوب «لإبداء الرأي»",
            en="a referral for an opinion asks for one (action FOR_OPINION)",
            pointer="/action",
            satisfied=lambda request: (
                request.content.fields.get("reason") != Reason.OPINION or request.action is Action.FOR_OPINION
            ),
        ),
    ),
)
