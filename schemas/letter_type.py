"""What a type of letter is: its fields, who may issue it, its clocks and checklist."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from schemas import civil_number
from schemas.errors import ErrorCode, RefusedValue
from schemas.letter_request import Day, LetterRequest
from schemas.marks import AgencyCode
from schemas.text import WireLine
from schemas.working_time import WorkingSpan


class TypeFields(BaseModel):
    """Base of a type's fields: the API forbids unknown members, the wire keeps them."""

    model_config = ConfigDict(extra="allow", frozen=True)


class CitedLetter(TypeFields):
    """A letter as the fields of another cite it."""

    agency: AgencyCode
    outgoing_no: WireLine
    date: Day


def _valid_civil_number(number: str) -> str:
    if not civil_number.is_valid(number):
        raise RefusedValue(ErrorCode.CIVIL_NUMBER_INVALID)
    return number


CivilNumber = Annotated[str, Field(pattern=r"^[23][0-9]{11}$"), AfterValidator(_valid_civil_number)]


@dataclass(frozen=True, slots=True)
class ChecklistItem:
    """One condition of completeness, checked before a letter is accepted for sending.

    Attributes:
        code: stable name.
        ar, en: what must be there, as a part of a sentence.
        pointer: JSON pointer to where it belongs.
        satisfied: whether the request has it.
    """

    code: str
    ar: str
    en: str
    pointer: str
    satisfied: Callable[[LetterRequest], bool]


@dataclass(frozen=True, slots=True)
class LetterType:
    """One type and major version.

    Attributes:
        name: as on the wire, ``letter.general/1``.
        ar, en: as on screen.
        fields: model of ``content.fields``.
        allowed_senders: agency codes; None for every agency.
        default_deadline_days: from issue to ``expires_at`` when the sender names none.
        reply_required: whether a reply is asked for when the sender does not say.
        reply_deadline: its clock; None for the clock of the letter's urgency.
        acknowledgement_owed: whether each recipient owes a registration.
        acknowledgement_deadline: its clock.
        retention_class: when the sender names none.
        checklist: conditions of completeness.
    """

    name: str
    ar: str
    en: str
    fields: type[TypeFields]
    allowed_senders: frozenset[str] | None = None
    default_deadline_days: int = 30
    reply_required: bool = False
    reply_deadline: WorkingSpan | None = None
    acknowledgement_owed: bool = False
    acknowledgement_deadline: WorkingSpan | None = None
    retention_class: str = "R-ADM"
    checklist: tuple[ChecklistItem, ...] = ()
