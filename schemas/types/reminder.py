"""استعجال: presses for an overdue reply, first, second or third time."""

from typing import Annotated

from pydantic import Field, StrictInt

from schemas.letter_request import Day
from schemas.letter_type import ChecklistItem, CitedLetter, LetterType, TypeFields
from schemas.working_time import WorkingSpan


class ReminderFields(TypeFields):
    """``overdue_days`` are calendar days since the reply was due."""

    of: CitedLetter
    level: Annotated[StrictInt, Field(ge=1, le=3)]
    overdue_days: Annotated[StrictInt, Field(ge=0, le=36_500)]
    new_due_at: Day | None = None


TYPE = LetterType(
    name="reminder/1",
    ar="استعجال",
    en="reminder",
    fields=ReminderFields,
    reply_required=True,
    reply_deadline=WorkingSpan(days=2),
    checklist=(
        ChecklistItem(
            code="new_deadline",
            ar="يحدد الاستعجال الثاني والثالث موعداً جديداً للرد",
            en="a second or third reminder names a new deadline",
            pointer="/content/fields/new_due_at",
            satisfied=lambda request: (
                request.content.fields.get("level") == 1 or request.content.fields.get("new_due_at") is not None
            ),
        ),
    ),
)
