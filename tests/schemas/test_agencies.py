"""The reference list: 52 connected agencies and 23 that wait."""

import csv
from importlib.resources import files

from schemas.agencies import AGENCIES, connected
from schemas.identifiers import RESERVED, is_agency_code


def test_fifty_two_agencies_are_connected_and_twenty_three_wait() -> None:
    assert len(connected()) == 52
    assert len(AGENCIES) == 52 + 23
    assert {agency.status for agency in AGENCIES.values()} == {"connected", "waiting"}


def test_no_code_stands_twice_in_the_file() -> None:
    lines = files("schemas").joinpath("agencies.csv").read_text(encoding="utf-8").splitlines()
    codes = [row["code"] for row in csv.DictReader(lines)]
    assert len(codes) == len(set(codes)) == len(AGENCIES)


def test_every_agency_has_a_code_a_kind_and_both_names() -> None:
    for code, agency in AGENCIES.items():
        assert code == agency.code
        assert is_agency_code(code)
        assert agency.kind
        assert any("\u0620" <= letter <= "\u064a" for letter in agency.name_ar)
        assert agency.name_en.isascii()
        for name in (agency.name_ar, agency.name_en):
            assert name == name.strip()
            assert name


def test_no_name_stands_twice() -> None:
    assert len({agency.name_ar for agency in AGENCIES.values()}) == len(AGENCIES)
    assert len({agency.name_en for agency in AGENCIES.values()}) == len(AGENCIES)


def test_codes_reserved_for_the_authority_and_the_echo_are_not_given_away() -> None:
    assert {"TRSL", "ECHO"} == RESERVED
    assert RESERVED.isdisjoint(AGENCIES)


def test_the_agencies_of_the_demonstration_and_the_issuers_of_circulars_are_connected() -> None:
    codes = {agency.code for agency in connected()}
    assert {"MPW", "MOF", "SAB", "CMGS", "CSC", "CAIT"} <= codes
