"""What the authority says about this agency's own account: verified, kept, counted; nothing else changes."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from broker.names import orders_queue
from broker.session import Delivery
from schemas.identifiers import AUTHORITY
from schemas.incidents import IncidentNotice, build_incident, parse_incident
from schemas.reasons import IncidentReason
from tests.behaviour.bed import Bed, Party
from trust.keys import FileKey
from trust.token import TokenType

DIGEST = "7" * 64
LIMIT = 2


def claims(number: int = 0, **members: Any) -> dict[str, Any]:
    return (
        build_incident(
            issuer=AUTHORITY,
            audience="MOF",
            jti=f"01936c1e-0000-7000-8000-00000000000{number}",
            issued_at=1_700_000_000,
            digest=DIGEST,
            reason="foreign_exchange",
            routing_key="ZZZ.urgent",
            received_at=1_700_000_000,
        )
        | members
    )


async def order(
    bed: Bed, content: Mapping[str, Any], *, by: str = AUTHORITY, key: FileKey | None = None, **changes: Any
) -> Delivery:
    """An order to MOF as the broker delivers it."""
    typ = changes.pop("typ", TokenType.INCIDENT)
    token = await bed.sign(by, dict(content), typ, **({"key": key} if key is not None else {}))
    of_the_authority = {"queue": orders_queue("MOF"), "exchange": "from.TRSL", "routing_key": "MOF.order"}
    return replace(bed.carry(AUTHORITY, token, "MOF.notice"), **(of_the_authority | changes))


async def test_a_genuine_notice_is_kept_once_and_counted(bed: Bed, mof: Party) -> None:
    first = await order(bed, claims())
    await mof.adapter.orders.receive([first, await order(bed, claims(1))])
    bed.clock.offset += 60
    await mof.adapter.orders.receive([first])
    [entry] = mof.adapter.correspondence.incidents().items
    assert (entry.digest, entry.reason, entry.routing_key) == (DIGEST, "foreign_exchange", "ZZZ.urgent")
    assert (entry.copies, entry.seen_at) == (3, 1_700_000_000_000)
    assert entry.last_at >= entry.noticed_at + 60_000
    assert (mof.quarantine(), mof.receipts(), await mof.dead_letters_out()) == ([], [], [])


async def test_notices_are_listed_newest_first_and_in_parts(bed: Bed, mof: Party) -> None:
    for number in range(LIMIT + 1):
        await mof.adapter.orders.receive([await order(bed, claims(number, digest=str(number) * 64))])
    first = mof.adapter.correspondence.incidents(limit=LIMIT)
    rest = mof.adapter.correspondence.incidents(limit=LIMIT, cursor=first.next)
    assert [entry.digest[0] for entry in (*first.items, *rest.items)] == ["2", "1", "0"]
    assert rest.next is None


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        ({"by": "SAB"}, IncidentReason.KEY_WRONG_PURPOSE),
        ({"content": claims(aud="MPW")}, IncidentReason.TOKEN_MALFORMED),
        ({"content": claims(iss="SAB")}, IncidentReason.TOKEN_MALFORMED),
        ({"content": claims(digest="x")}, IncidentReason.TOKEN_MALFORMED),
        ({"routing_key": "MPW.order"}, IncidentReason.ROUTING_KEY_FOREIGN),
        ({"expiration": "1"}, IncidentReason.CARRIES_EXPIRATION),
        ({"typ": TokenType.RECEIPT}, IncidentReason.ORDER_NOT_SUPPORTED),
    ],
)
async def test_what_is_no_notice_of_the_authority_to_us_is_put_aside(
    bed: Bed, mof: Party, made: dict[str, Any], reason: IncidentReason
) -> None:
    content = made.pop("content", claims())
    await mof.adapter.orders.receive([await order(bed, content, **made)])
    assert mof.adapter.correspondence.incidents().items == ()
    assert [(row.reason, row.stage) for row in mof.quarantine()] == [(reason, "orders")]


async def test_one_bad_order_keeps_no_notice_from_being_read(bed: Bed, mof: Party) -> None:
    bad = await order(bed, claims(), by="SAB")
    await mof.adapter.orders.receive([bad, await order(bed, claims())])
    assert len(mof.adapter.correspondence.incidents().items) == 1
    assert len(mof.quarantine()) == 1


async def test_an_order_whose_content_nobody_foresaw_is_put_aside_and_stops_nobody(
    bed: Bed, mof: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    def parse(content: dict[str, Any]) -> IncidentNotice:
        if content["digest"] == DIGEST:
            return parse_incident(content)
        raise ZeroDivisionError

    monkeypatch.setattr("agency_adapter.orders.parse_incident", parse)
    await mof.adapter.orders.receive([await order(bed, claims(digest="8" * 64)), await order(bed, claims(1))])
    [entry] = mof.adapter.correspondence.incidents().items
    assert entry.digest == DIGEST
    [row] = mof.quarantine()
    assert (row.reason, row.explanation) == (IncidentReason.TOKEN_MALFORMED, "judging failed: ZeroDivisionError")
