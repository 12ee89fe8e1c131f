"""Base64url: one spelling for every byte string, and nothing else is read."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import ErrorCode
from trust import base64url
from trust.errors import VerificationError


@given(st.binary(max_size=200))
def test_what_is_written_is_the_standard_spelling_and_reads_back(raw: bytes) -> None:
    text = base64url.encode(raw)

    assert text == base64.urlsafe_b64encode(raw).rstrip(b"=")
    assert base64url.decode(text) == raw


@given(st.one_of(st.binary(max_size=40), st.text("AB_-wxgQ+/= \n", max_size=40).map(str.encode)))
def test_what_is_read_has_no_second_spelling(text: bytes) -> None:
    try:
        raw = base64url.decode(text)
    except VerificationError as error:
        assert error.code is ErrorCode.BASE64URL_INVALID  # noqa: PT017 - a property: either it is refused so, or…
    else:
        assert base64url.encode(raw) == text


@pytest.mark.parametrize(
    "text",
    [
        b"A",
        b"AAAAA",
        b"AB",
        b"AAB",
        b"AA==",
        b"AAA=",
        b"A=AA",
        b"====",
        b"+A",
        b"/A",
        b"A A",
        b"AA\n",
        b"\nAA",
        "é".encode(),
    ],
)
def test_every_other_spelling_is_refused(text: bytes) -> None:
    with pytest.raises(VerificationError) as caught:
        base64url.decode(text)

    assert caught.value.code is ErrorCode.BASE64URL_INVALID
