"""A text that costs its writer nothing costs its reader little: whoever may sign could stop all mail otherwise."""

import pytest

from schemas.errors import ErrorCode
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
