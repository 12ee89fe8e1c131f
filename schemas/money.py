"""Money: Kuwaiti dinars as a whole number of fils (1 KWD = 1000 fils). No floats anywhere."""

import re

_DINARS = re.compile(r"^([0-9]{1,3}(?:,[0-9]{3})*|[0-9]+)(?:\.([0-9]{1,3}))?$")


def fils_of(dinars: str) -> int:
    """Fils of an amount as printed, ``4,760,693.134``.

    Raises:
        ValueError: if it is no such amount.
    """
    found = _DINARS.fullmatch(dinars)
    if found is None:
        raise ValueError(dinars)
    return int(found[1].replace(",", "")) * 1000 + int((found[2] or "").ljust(3, "0"))


def dinars_of(fils: int) -> str:
    """An amount as it is printed."""
    sign, whole = ("-" if fils < 0 else ""), abs(fils)
    return f"{sign}{whole // 1000:,}.{whole % 1000:03d}"
