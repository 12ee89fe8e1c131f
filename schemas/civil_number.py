"""The Kuwaiti civil number (الرقم المدني): twelve digits, the last of them a check digit.

Century (2: 19xx, 3: 20xx), date of birth YYMMDD, serial, check digit. Source: reference rules of
correspondence.
"""

import re
from datetime import date

_LENGTH = 12
_WEIGHTS = (2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_SHAPE = re.compile(r"^[23][0-9]{11}$")


def check_digit(first_eleven: str) -> int | None:
    """The twelfth digit, or None when these eleven have none (the sum gives 10 or 11)."""
    digit = 11 - sum(int(d) * w for d, w in zip(first_eleven, _WEIGHTS, strict=True)) % 11
    return digit if digit < 10 else None  # noqa: PLR2004 - one decimal digit


def is_valid(number: str) -> bool:
    """Shape, date of birth and check digit are right. Says nothing about whether such a person exists."""
    if _SHAPE.fullmatch(number) is None:
        return False
    try:
        date((19 if number[0] == "2" else 20) * 100 + int(number[1:3]), int(number[3:5]), int(number[5:7]))
    except ValueError:
        return False
    return check_digit(number[:11]) == int(number[11])


def masked(number: str) -> str:
    """For logs: the first digit and the last four; nothing of what is no twelve characters long."""
    if len(number) != _LENGTH:
        return "*" * len(number)
    return f"{number[0]}{'*' * 7}{number[-4:]}"
