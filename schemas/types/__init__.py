"""Types of letters, one module each; and what is done with a letter according to its type."""

from schemas.composition import compose_letter
from schemas.letter_checks import check_letter, check_request
from schemas.letter_type import ChecklistItem, LetterType
from schemas.type_registry import all_types, letter_type

__all__ = [
    "ChecklistItem",
    "LetterType",
    "all_types",
    "check_letter",
    "check_request",
    "compose_letter",
    "letter_type",
]
