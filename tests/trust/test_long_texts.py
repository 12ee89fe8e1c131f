"""A text that costs its writer nothing costs its reader little: whoever may sign could stop all mail otherwise."""

import pytest
from pydantic import ValidationError

from schemas.errors import ErrorCode
from schemas.letter import Letter
from schemas.text import not_nfc_from
from trust import ijson
from trust.errors import VerificationError

DISORDERED_MARKS = "\u0651\u064e" * 300_000
"""Shadda before fatha, again and again. To put as many in order takes several minutes."""


def test_a_long_run_of_marks_is_refused_without_putting_it_in_order() -> None:
    with pytest.raises(VerificationError) as caught:
        ijson.parse(f'{{"a":"ب{DISORDERED_MARKS}"}}'.encode(), max_bytes=2_000_000)
    assert (caught.value.code, caught.value.params["position"]) == (ErrorCode.TEXT_NOT_NFC, 1)


def test_the_position_behind_a_long_text_in_normal_form_is_found() -> None:
    assert not_nfc_from("كتاب " * 100_000 + "e\u0301") == 500_000


@pytest.mark.parametrize("member", ["recipients", "references"])
def test_of_sixty_thousand_wrong_entries_only_the_first_is_looked_at(member: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Letter.model_validate({member: [{}] * 60_000})
    assert {
        error["loc"][1] for error in caught.value.errors() if error["loc"][0] == member and len(error["loc"]) > 1
    } == {0}
