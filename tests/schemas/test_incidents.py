"""Incident notices: what the authority writes is what the agency reads."""

from typing import Any

import pytest

from schemas.errors import ErrorCode
from schemas.incidents import build_incident, parse_incident
from schemas.receipts import LATEST_SECOND
from tests.schemas.letters import REMOVED, changed
from tests.schemas.refusals import refused_with


def notice() -> dict[str, Any]:
    return build_incident(
        issuer="TRSL",
        audience="SAB",
        jti="01936c1e-0000-7000-8000-000000000001",
        issued_at=1_772_355_601,
        digest="ab" * 32,
        reason="foreign_exchange",
        routing_key="MOF.routine",
        received_at=1_772_355_600,
    )


def test_a_notice_survives_being_built_and_read() -> None:
    assert notice() == {
        "iss": "TRSL",
        "aud": "SAB",
        "jti": "01936c1e-0000-7000-8000-000000000001",
        "iat": 1_772_355_601,
        "digest": "ab" * 32,
        "reason": "foreign_exchange",
        "routing_key": "MOF.routine",
        "received_at": 1_772_355_600,
    }
    assert parse_incident(notice() | {"later": [1]}).model_dump() == notice() | {"later": [1]}
    assert parse_incident(notice() | {"received_at": LATEST_SECOND}).received_at == LATEST_SECOND


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("/iss", REMOVED),
        ("/aud", "sab"),
        ("/jti", "7"),
        ("/iat", -1),
        ("/iat", LATEST_SECOND + 1),
        ("/digest", "AB" * 32),
        ("/reason", "x" * 65),
        ("/routing_key", "k" * 256),
        ("/received_at", True),
        ("/received_at", LATEST_SECOND + 1),  # no calendar has it: whoever lists it would fail
    ],
)
def test_a_notice_with_a_member_missing_or_wrong_is_refused_with_the_place(place: str, value: object) -> None:
    refused_with(lambda: parse_incident(changed(notice(), place, value)), ErrorCode.SCHEMA_INVALID, place)
