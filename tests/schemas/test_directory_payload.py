"""The directory's payload, before anything of it is verified."""

from typing import Any

import pytest

from schemas.directory import AgencyRecord, parse_directory
from schemas.errors import ErrorCode
from tests.schemas.letters import REMOVED, changed
from tests.schemas.refusals import refused_with

KEY = {
    "kid": "MPW.seal.1",
    "purpose": "seal",
    "alg": "ES256",
    "not_before": "2026-01-01T00:00:00Z",
    "not_after": "2028-01-01T00:00:00Z",
    "certificate": "MIIB",
}
MPW = {
    "code": "MPW",
    "name_ar": "وزارة الأشغال العامة",
    "name_en": "Ministry of Public Works",
    "kind": "ministry",
    "status": "active",
    "keys": [KEY],
}
DIRECTORY: dict[str, Any] = {
    "version": 1,
    "issued_at": "2026-03-01T00:00:00Z",
    "valid_until": "2026-03-31T00:00:00Z",
    "issuers": ["MIIB"],
    "agencies": [MPW],
}


def kept(payload: dict[str, Any], place: str) -> object:
    """What stands at ``place`` once ``payload`` has been read as a directory."""
    read: Any = parse_directory(payload).model_dump(mode="json")
    for step in place.split("/")[1:]:
        read = read[int(step)] if isinstance(read, list) else read[step]
    return read


def test_a_directory_is_read_with_its_defaults() -> None:
    [agency] = parse_directory(DIRECTORY).agencies
    assert (agency.link_style, agency.units, agency.successor, agency.calendar) == ("api", [], None, None)
    assert agency.keys[0].revocation is None


@pytest.mark.parametrize("place", ["", "/agencies/0", "/agencies/0/keys/0"])
def test_unknown_members_of_the_directory_are_kept(place: str) -> None:
    assert kept(changed(DIRECTORY, f"{place}/later", {"x": 1}), f"{place}/later") == {"x": 1}


@pytest.mark.parametrize(
    "change",
    [("/agencies/0/keys/0/purpose", "hologram"), ("/agencies/0/keys/0/alg", "ML-DSA-44"), ("/agencies", [])],
    ids=ascii,
)
def test_purposes_and_algorithms_of_a_newer_release_are_no_reason_to_refuse(change: tuple[str, object]) -> None:
    assert kept(changed(DIRECTORY, *change), change[0]) == change[1]


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("/version", REMOVED),
        ("/version", 0),
        ("/version", "1"),
        ("/issued_at", "2026-03-01"),
        ("/valid_until", REMOVED),
        ("/issuers", []),
        ("/agencies", REMOVED),
        ("/agencies/0/code", "mpw"),
        ("/agencies/0/name_ar", ""),
        ("/agencies/0/name_en", REMOVED),
        ("/agencies/0/status", "asleep"),
        ("/agencies/0/successor", "M"),
        ("/agencies/0/keys/0/kid", "a b"),
        ("/agencies/0/keys/0/certificate", "x" * 8193),
        ("/agencies/0/keys/0/revocation", "perhaps"),
    ],
    ids=ascii,
)
def test_a_malformed_directory_is_refused_with_its_place(place: str, value: object) -> None:
    refused_with(lambda: parse_directory(changed(DIRECTORY, place, value)), ErrorCode.SCHEMA_INVALID, place)


def test_an_agency_takes_and_sends_every_type_unless_the_directory_lists_some() -> None:
    anything = AgencyRecord.model_validate(MPW)
    assert anything.accepts("reply/1")
    assert anything.may_send_type("circular/9")
    some = AgencyRecord.model_validate(MPW | {"accepted_types": ["reply/1"], "may_send": ["circular/1"]})
    assert (some.accepts("reply/1"), some.accepts("reply/2")) == (True, False)
    assert (some.may_send_type("circular/1"), some.may_send_type("reply/1")) == (True, False)
