"""Fils: whole numbers, and the amounts as printed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.money import dinars_of, fils_of


@given(st.integers(0, 2**53 - 1))
def test_an_amount_survives_being_printed_and_read(fils: int) -> None:
    assert fils_of(dinars_of(fils)) == fils
    assert fils_of(dinars_of(fils).replace(",", "")) == fils


@pytest.mark.parametrize(
    ("printed", "fils"),
    [
        ("4,760,693.134", 4_760_693_134),
        ("0.001", 1),
        ("0", 0),
        ("75000", 75_000_000),
        ("75,000", 75_000_000),
        ("1.5", 1_500),
        ("1.05", 1_050),
    ],
)
def test_dinars_have_three_decimals(printed: str, fils: int) -> None:
    assert fils_of(printed) == fils


def test_a_negative_amount_is_printed_with_its_sign() -> None:
    assert (dinars_of(-1), dinars_of(-1_234_567)) == ("-0.001", "-1,234.567")


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "1.",
        ".5",
        "1.2345",
        "1,00",
        "1,2345",
        ",100",
        "1000,000",
        "-1",
        "+1",
        "1e3",
        "NaN",
        "١",
        " 1",
        "1\n",
        "1.000,5",
        "0x1",
    ],
)
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^") as refused:
        fils_of(text)
    assert refused.value.args == (text,)
