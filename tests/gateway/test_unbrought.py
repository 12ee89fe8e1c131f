"""Dead letters that the journal has and no queue brought: found once, a minute later, and never in place of others."""

import hashlib

import pytest
from sqlalchemy import insert

import gateway.unbrought
from gateway.journal import read_message, statement_of
from gateway.places import move_to
from gateway.store.opening import GatewayStore
from gateway.store.tables import dead_letters, journal
from gateway.unbrought import BEHIND_MS, WORK, Compared, compare
from tests.gateway.databases import place, postgres, store
from tests.gateway.deliveries import delivery

__all__ = ["place", "postgres", "store"]
NOW = 10 * BEHIND_MS
STATEMENT = b"\xff no token"


def record(
    store: GatewayStore,
    offset: int,
    body: bytes,
    *,
    routing_key: str = "dead-letter",
    exchange: str = "from.MOF",
    statement: bytes | None = STATEMENT,
    incarnation: int = 1,
    at: int = 0,
) -> None:
    """What the reader makes of a message of the stream."""
    message = read_message(
        delivery(body, exchange=exchange, routing_key=routing_key, statement=statement, offset=offset)
    )
    row = {
        "incarnation": incarnation,
        "stream_offset": offset,
        "exchange": message.exchange,
        "routing_key": message.routing_key,
        "publisher": message.publisher,
        "kind": message.kind.value,
        "recorded_at": at,
        "statement_jws": message.statement,
        "body": message.body,
    }
    with store.engine.begin() as connection:
        connection.execute(insert(journal).values(**row))


def bring(store: GatewayStore, seq: int, body: bytes, statement: bytes | None = STATEMENT) -> None:
    """A queue has brought it: which one, and by which exchange, is all the same."""
    texts = dict.fromkeys(("exchange", "type", "stage", "reason"), "")
    with store.engine.begin() as connection:
        connection.execute(
            insert(dead_letters).values(
                seq=seq,
                queue="dead-letter.expired",
                routing_key="dead-letter",
                body_digest=hashlib.sha256(body).hexdigest(),
                statement_digest="" if statement is None else hashlib.sha256(statement).hexdigest(),
                attempts=1,
                verdict="filed",
                received_at=0,
                last_at=0,
                size=len(body),
                body=body,
                **texts,
            )
        )


def part(store: GatewayStore, *, moved: bool = False) -> Compared:
    with store.engine.begin() as connection:
        compared = compare(connection, NOW)
        if moved and compared.up_to is not None:
            move_to(connection, WORK, compared.up_to)
    return compared


def bodies(compared: Compared) -> list[bytes]:
    return [each.body for each in compared.unbrought]


def test_what_no_queue_brought_is_found_as_its_queue_would_have_delivered_it(store: GatewayStore) -> None:
    record(store, 3, b"unbrought")
    [found] = part(store).unbrought
    assert (found.queue, found.exchange, found.routing_key) == ("dead-letter.MOF", "from.MOF", "dead-letter")
    assert (found.body, statement_of(found)) == (b"unbrought", STATEMENT)


def test_what_a_queue_brought_and_what_is_no_dead_letter_is_not_found(store: GatewayStore) -> None:
    record(store, 0, b"brought")
    record(store, 1, b"letter", routing_key="MOF.routine")
    record(store, 2, b"without", statement=None)
    record(store, 3, b"other statement", statement=b"other")
    bring(store, 1, b"brought")
    bring(store, 2, b"without", None)
    bring(store, 3, b"other statement")
    compared = part(store)
    assert bodies(compared) == [b"other statement"]
    assert compared.up_to == (1, 3)


def test_each_part_begins_behind_the_place_and_the_next_stream_behind_the_last(store: GatewayStore) -> None:
    record(store, 9, b"old stream")
    assert bodies(part(store)) == [b"old stream"], "until the place is moved it is found again"
    assert bodies(part(store, moved=True)) == [b"old stream"]
    assert part(store) == Compared([], None)
    record(store, 2, b"new stream", incarnation=2)
    assert bodies(part(store, moved=True)) == [b"new stream"]
    assert part(store) == Compared([], None)


def test_what_is_new_is_left_to_its_queue_and_nothing_behind_it_is_passed_over(store: GatewayStore) -> None:
    """The clock of the reader was set back between the second and the third."""
    for offset, at in enumerate((0, NOW - BEHIND_MS, 0)):
        record(store, offset, b"%d" % offset, at=at)
    compared = part(store, moved=True)
    assert (bodies(compared), compared.up_to) == ([b"0"], (1, 0))
    assert part(store) == Compared([], None)


def test_parts_are_bounded_and_pass_nothing_over(store: GatewayStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway.unbrought, "MOST_COMPARED", 4)
    monkeypatch.setattr(gateway.unbrought, "MOST_FOUND", 2)
    for offset in range(10):
        record(store, offset, b"%d" % offset, routing_key="dead-letter" if offset < 3 else "MOF.notice")
    places = []
    found = []
    while (compared := part(store, moved=True)).up_to is not None:
        places.append(compared.up_to)
        found += bodies(compared)
    assert places == [(1, 1), (1, 5), (1, 9)]
    assert found == [b"0", b"1", b"2"]
