"""تعميم: from one of few issuers to many, numbered per year; each recipient owes a registration."""

from typing import Annotated

from pydantic import Field, StrictInt

from schemas.letter_request import Day
from schemas.letter_type import ChecklistItem, CitedLetter, LetterType, TypeFields
from schemas.working_time import WorkingSpan


class CircularFields(TypeFields):
    """``audience`` is the code of a group of recipients; "circular 9 of 2019" is number 9, year 2019."""

    circular_no: Annotated[StrictInt, Field(ge=1, le=99_999)]
    year: Annotated[StrictInt, Field(ge=1900, le=2200)]
    effective_from: Day
    supersedes: CitedLetter | None = None
    audience: Annotated[str, Field(pattern=r"^[A-Z0-9][A-Z0-9._-]{0,31}$")]


TYPE = LetterType(
    name="circular/1",
    ar="تعميم",
    en="circular",
    fields=CircularFields,
    allowed_senders=frozenset({"CMGS", "CSC", "MOF", "SAB", "CAIT"}),
    acknowledgement_owed=True,
    acknowledgement_deadline=WorkingSpan(days=2),
    retention_class="R-PERM",
    checklist=(
        ChecklistItem(
            code="signatory",
            ar="يجب أن يُذكر المفوض بالتوقيع على التعميم",
            en="a circular names its authorised signatory",
            pointer="/content/signatories",
            satisfied=lambda request: bool(request.content.signatories),
        ),
    ),
)
