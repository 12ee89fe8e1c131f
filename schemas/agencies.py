"""The reference list of agencies: a reconstruction of the 52 bodies of 2011, and 23 more that wait to join.

No official list is public; see README.
"""

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class ReferenceAgency:
    """One line of the list. ``status`` is ``connected`` or ``waiting``."""

    code: str
    name_ar: str
    name_en: str
    kind: str
    status: str
    note: str


@cache
def all_agencies() -> dict[str, ReferenceAgency]:
    """Every agency of the list, by code."""
    with files("schemas").joinpath("agencies.csv").open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        return {row["code"]: ReferenceAgency(**row) for row in rows}


def connected() -> list[ReferenceAgency]:
    """The 52."""
    return [agency for agency in all_agencies().values() if agency.status == "connected"]
