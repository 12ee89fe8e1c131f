"""The life of a row: who may claim it, in which order, and how it comes back."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from broker import outbox
from broker.outbox import CLAIMED, CLOSED, CONFIRMED, PENDING, LaneDepth
from tests.broker.notes import NoteStore, notes


@pytest.fixture
def store(tmp_path: Path) -> Iterator[NoteStore]:
    made = NoteStore(tmp_path)
    yield made
    made.close()


def claim(store: NoteStore, lane: str = "MOF.routine", *, most: int = 10, now: int = 1_000) -> list[int]:
    with store.changing() as connection:
        heads = {head.lane: head for head in outbox.lane_heads(connection, notes)}
        keys = outbox.due_keys(connection, notes, heads[lane], most=most, now=now) if lane in heads else []
        if keys:
            outbox.claim(connection, notes, keys, lease_until=now + 100)
        return keys


@pytest.fixture(params=["few rows", "many rows"])
def rows(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Few rows are read together, many lane by lane; what is found must be the same."""
    if request.param == "many rows":
        monkeypatch.setattr("broker.outbox.FEW", 1)
    return str(request.param)


def test_a_lane_with_a_waiting_row_has_a_head_and_says_when_it_is_due(store: NoteStore, rows: str) -> None:
    store.add([1], lane="A.routine")
    store.add([2], lane="B.routine", due_at=2_000)
    store.add([6], lane="B.routine", due_at=3_000)
    store.add([3, 4], lane="C.urgent")
    assert claim(store, "C.urgent") == [3, 4]
    store.add([5], lane="D.notice", due_at=1_000)
    with store.readings.connect() as connection:
        heads = outbox.lane_heads(connection, notes)
    assert {head.lane: head.due_at for head in heads} == {"A.routine": 0, "B.routine": 2_000, "D.notice": 1_000}
    assert all((head.rows is None) == (rows == "many rows") for head in heads)


@pytest.mark.usefixtures("rows")
def test_an_empty_outbox_has_no_lane(store: NoteStore) -> None:
    with store.readings.connect() as connection:
        assert outbox.lane_heads(connection, notes) == []


@pytest.mark.usefixtures("rows")
def test_rows_are_claimed_oldest_first_once_and_never_before_they_are_due(store: NoteStore) -> None:
    store.add([1, 2], due_at=500)
    store.add([3], due_at=100)
    store.add([4], due_at=1_001)
    store.add([5], lane="SAB.routine")
    assert claim(store, most=2) == [3, 1]
    assert claim(store) == [2]
    assert claim(store) == []
    assert store.attempts() == {1: 1, 2: 1, 3: 1, 4: 0, 5: 0}


def test_a_released_row_keeps_its_place_and_its_count(store: NoteStore) -> None:
    store.add([1, 2, 3])
    assert claim(store, most=2) == [1, 2]
    with store.changing() as connection:
        outbox.release(connection, notes, [1])
        outbox.release(connection, notes, [2], due_at=5_000)
    assert claim(store) == [1, 3]
    assert store.attempts()[1] == 2
    assert store.states()[2] == PENDING


def test_an_unclaimed_row_was_never_tried(store: NoteStore) -> None:
    store.add([1])
    claim(store)
    with store.changing() as connection:
        outbox.unclaim(connection, notes, [1])
    assert (store.states(), store.attempts()) == ({1: PENDING}, {1: 0})


def test_a_lease_that_ran_out_gives_the_row_back_and_no_other(store: NoteStore) -> None:
    store.add([1, 2])
    claim(store, most=1, now=1_000)
    claim(store, most=1, now=1_050)
    with store.changing() as connection:
        assert outbox.release_expired(connection, notes, now=1_100) == 0
        assert outbox.release_expired(connection, notes, now=1_101) == 1
    assert store.states() == {1: PENDING, 2: CLAIMED}
    with store.changing() as connection:
        assert outbox.release_all(connection, notes) == 1
    assert store.states() == {1: PENDING, 2: PENDING}


@pytest.mark.parametrize("act", ["confirm", "release", "unclaim"])
def test_a_row_that_a_receipt_has_closed_stays_closed(store: NoteStore, act: str) -> None:
    store.add([1])
    claim(store)
    with store.changing() as connection:
        connection.execute(notes.update().values(relay_state=CLOSED))
        if act == "confirm":
            outbox.confirm(connection, notes, [1], now=1_000)
        elif act == "release":
            outbox.release(connection, notes, [1])
        else:
            outbox.unclaim(connection, notes, [1])
    assert store.states() == {1: CLOSED}


def test_only_what_waits_is_counted(store: NoteStore) -> None:
    store.add([1, 2, 3], due_at=7)
    store.add([4], lane="SAB.urgent", due_at=9)
    claim(store, most=1)
    with store.changing() as connection:
        outbox.confirm(connection, notes, [1], now=1_000)
    assert store.states()[1] == CONFIRMED
    with store.readings.connect() as connection:
        assert outbox.depths(connection, notes) == [LaneDepth("MOF.routine", 2, 7), LaneDepth("SAB.urgent", 1, 9)]


@pytest.mark.usefixtures("rows")
def test_claims_walk_the_partial_index(store: NoteStore) -> None:
    """A store full of finished letters must not slow the search for the next one."""
    store.add([1, 2])
    run: list[tuple[str, Any]] = []
    with store.changing() as connection:
        event.listen(connection, "before_cursor_execute", lambda *args: run.append((args[2], args[3])))
        for head in outbox.lane_heads(connection, notes):
            assert outbox.due_keys(connection, notes, head, most=3, now=5) == [1, 2]
    with store.changing() as connection:
        plans = [
            str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all())
            for statement, parameters in run
        ]
    assert plans
    for plan in plans:
        assert "notes_waiting" in plan, plan
        assert "TEMP B-TREE" not in plan, plan


@pytest.mark.parametrize("act", ["release_expired", "release_all"])
def test_leases_are_looked_for_in_their_partial_index(store: NoteStore, act: str) -> None:
    """It happens each second: what was ever sent must not be walked for it."""
    run: list[tuple[str, Any]] = []
    with store.changing() as connection:
        event.listen(connection, "before_cursor_execute", lambda *args: run.append((args[2], args[3])))
        if act == "release_expired":
            outbox.release_expired(connection, notes, now=5)
        else:
            outbox.release_all(connection, notes)
    [(statement, parameters)] = run
    with store.changing() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
    assert "notes_claimed" in str(plan), plan
