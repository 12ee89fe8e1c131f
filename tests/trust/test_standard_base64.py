"""One spelling for every byte string, and no other."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trust.standard_base64 import decode, encode


@given(st.binary(max_size=70))
def test_what_is_written_is_read_back(raw: bytes) -> None:
    assert encode(raw) == base64.b64encode(raw).decode()
    assert decode(encode(raw)) == raw


@pytest.mark.parametrize(
    "text", ["A", "AA", "AAA", "AA=", "AB==", "AAB=", "AA==\n", " AA==", "AA==AA==", "A-==", "\u0661"]
)
def test_any_other_spelling_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the library's own
        decode(text)
