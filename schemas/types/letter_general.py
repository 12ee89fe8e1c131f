"""كتاب رسمي: the ordinary letter from any agency to any other, on one subject."""

from typing import Annotated

from pydantic import Field

from schemas.letter_type import LetterType, TypeFields


class GeneralFields(TypeFields):
    """``category`` is a code of the agency's own filing plan."""

    category: Annotated[str, Field(pattern=r"^[A-Z0-9][A-Z0-9._-]{0,31}$")] | None = None


TYPE = LetterType(
    name="letter.general/1",
    ar="كتاب رسمي",
    en="official letter",
    fields=GeneralFields,
)
