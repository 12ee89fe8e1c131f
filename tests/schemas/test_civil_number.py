"""The civil number: weights, dates, and what logs show. All numbers here are made from the weights."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.civil_number import check_digit, is_valid, masked

WEIGHTS = (2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
DATES = ("2850519", "3240229", "3000101", "2991231")


def weighted(first_eleven: str) -> int:
    return sum(weight * int(digit) for weight, digit in zip(WEIGHTS, first_eleven, strict=True)) % 11


@pytest.mark.parametrize("date_of_birth", DATES)
def test_the_check_digit_follows_from_the_weights(date_of_birth: str) -> None:
    seen = set()
    for serial in range(0, 10_000, 7):
        eleven = f"{date_of_birth}{serial:04d}"
        rest = weighted(eleven)
        seen.add(rest)
        assert check_digit(eleven) == (None if rest in {0, 1} else 11 - rest)
        valid = [digit for digit in "0123456789" if is_valid(eleven + digit)]
        assert valid == ([] if rest in {0, 1} else [str(11 - rest)])
    assert seen == set(range(11)), "results 10 and 11, which no digit stands for, were tried"


@given(st.sampled_from(DATES), st.integers(0, 9999), st.integers(0, 10), st.integers(1, 9))
def test_one_wrong_digit_is_always_found(date_of_birth: str, serial: int, at: int, added: int) -> None:
    eleven = f"{date_of_birth}{serial:04d}"
    digit = check_digit(eleven)
    if digit is None:
        return
    number = f"{eleven}{digit}"
    wrong = number[:at] + str((int(number[at]) + added) % 10) + number[at + 1 :]
    assert is_valid(number)
    assert not is_valid(wrong)


def made(first_seven: str) -> str:
    """A number of this century and date whose check digit is right."""
    numbers = (f"{first_seven}{serial:04d}" for serial in random.Random(1).sample(range(10_000), 20))  # noqa: S311 - no secret
    return next(f"{eleven}{check_digit(eleven)}" for eleven in numbers if check_digit(eleven) is not None)


@pytest.mark.parametrize(
    ("first_seven", "valid"),
    [
        ("2000229", False),  # 1900 was no leap year
        ("3000229", True),
        ("3230229", False),
        ("3240229", True),
        ("2851301", False),
        ("2850001", False),
        ("2850431", False),
        ("2850400", False),
        ("1850519", False),  # no such century
        ("4850519", False),
    ],
)
def test_the_date_of_birth_must_exist(first_seven: str, valid: bool) -> None:
    assert is_valid(made(first_seven)) is valid


@pytest.mark.parametrize(
    "text", ["", "28505190001", "2850519000199", " 285051900019", "٢٨٥٠٥١٩٠٠٠١٩", "285051900019\n"]
)
def test_a_civil_number_is_twelve_ascii_digits(text: str) -> None:
    assert is_valid("285051900019")
    assert not is_valid(text)


@pytest.mark.parametrize(
    ("number", "shown"), [("285051902596", "2*******2596"), ("2596", "****"), ("28505", "*****"), ("", "")]
)
def test_logs_show_the_first_digit_and_the_last_four(number: str, shown: str) -> None:
    assert masked(number) == shown
