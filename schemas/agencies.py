"""The reference list of agencies: a reconstruction of the 52 bodies of 2011, and 23 more that wait to join.

No official list is public; see README.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class ReferenceAgency:
    """One line of the list. ``status`` is ``connected`` or ``waiting``."""

    code: str
    name_ar: str
    name_en: str
    kind: str
    status: str
    note: str


def _read() -> dict[str, ReferenceAgency]:
    text = files("schemas").joinpath("agencies.csv").read_text(encoding="utf-8")
    return {row["code"]: ReferenceAgency(**row) for row in csv.DictReader(text.splitlines())}


AGENCIES: Mapping[str, ReferenceAgency] = MappingProxyType(_read())
"""Every agency of the list, by code."""


def connected() -> list[ReferenceAgency]:
    """The 52."""
    return [agency for agency in AGENCIES.values() if agency.status == "connected"]
