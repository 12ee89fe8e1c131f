"""A transmission stays open until its terminal receipt: repeated with growing waits, listed all the while."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, event

from agency_adapter.store import tables
from agency_adapter.transmissions import FIRST_WAIT_MS, LONGEST_WAIT_MS, TransmissionOutbox
from broker import outbox
from schemas.delivery import TransmissionState
from tests.behaviour.bed import Bed, Party, exchange, instant

MINUTE = 60
LETTERS = TransmissionOutbox()


async def sweep(party: Party) -> int:
    """What the clockwork does each second: how many became pending."""
    return await party.adapter.writer.submit(party.adapter._sweep_once, None)


def wait_ms(party: Party) -> list[int]:
    """For how long each transmission waits after its confirm."""
    return [row.due_at - row.confirmed_at for row in party.rows(tables.transmissions)]


async def test_what_is_not_answered_is_published_again_with_waits_that_double_from_15_minutes_to_6_hours(
    bed: Bed, mpw: Party
) -> None:
    await mpw.send("MOF", expires_at=instant(bed.clock.now() + timedelta(days=20)))
    [first] = await mpw.letters_out()
    for minutes in (15, 30, 60, 120, 240, 360, 360, 360):
        [wait] = wait_ms(mpw)
        assert 0.75 * minutes * MINUTE * 1000 <= wait <= 1.25 * minutes * MINUTE * 1000
        bed.clock.offset += wait / 1000 - MINUTE
        assert await sweep(mpw) == 0
        bed.clock.offset += MINUTE + 1
        assert await sweep(mpw) == 1
        [again] = await mpw.letters_out()
        assert again == first, "unchanged"


async def test_waits_are_spread_so_that_a_day_of_outage_does_not_end_in_one_flood(mpw: Party) -> None:
    await asyncio.gather(*(mpw.send("MOF") for _ in range(200)))
    await mpw.letters_out()
    waits = wait_ms(mpw)
    assert min(waits) >= 0.75 * FIRST_WAIT_MS
    assert max(waits) <= 1.25 * FIRST_WAIT_MS
    assert max(waits) - min(waits) > 0.3 * FIRST_WAIT_MS
    assert len(set(waits)) > 25


async def test_tries_that_the_broker_did_not_confirm_make_no_wait_longer(mpw: Party) -> None:
    await mpw.send("MOF")
    for _ in range(6):
        await mpw.take(LETTERS, confirm=False)
        assert await mpw.adapter.writer.submit(_lose, None) == 1
    await mpw.letters_out()
    assert wait_ms(mpw)[0] <= 1.25 * FIRST_WAIT_MS < LONGEST_WAIT_MS


async def _lose(connection: Connection, items: Sequence[None]) -> list[int]:
    return [outbox.release_all(connection, tables.transmissions)] * len(items)


async def test_the_clockwork_of_each_second_reads_no_table_from_end_to_end(mpw: Party) -> None:
    """It runs on the loop: a quarantine that somebody has filled would hold up all letters every second."""
    statements: list[tuple[str, Any]] = []

    def note(_connection: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        statements.append((statement, parameters))

    event.listen(mpw.adapter.store.engine, "before_cursor_execute", note)
    await sweep(mpw)
    event.remove(mpw.adapter.store.engine, "before_cursor_execute", note)
    with mpw.adapter.store.readings.connect() as connection:
        steps = [
            step.detail
            for statement, parameters in statements
            for step in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        ]
    assert steps
    assert not [step for step in steps if step.startswith("SCAN")]


async def test_a_terminal_receipt_ends_the_repetition(bed: Bed, mpw: Party, mof: Party) -> None:
    await mpw.send("MOF")
    await exchange(mpw, mof)
    bed.clock.offset += 24 * 3600
    assert await sweep(mpw) == 0
    assert await mpw.letters_out() == []


async def test_a_terminal_receipt_that_overtakes_the_confirm_ends_the_repetition_too(
    bed: Bed, mpw: Party, mof: Party
) -> None:
    await mpw.send("MOF")
    messages = await mpw.take(LETTERS, confirm=False)
    await mof.receive(*[bed.carry("MPW", message) for message in messages])
    await mpw.receive(*await mof.receipts_out())

    async def confirm(connection: Connection, items: Sequence[None]) -> list[None]:
        LETTERS.confirm(connection, messages[0].keys, bed.clock.unix_ms())
        return [None] * len(items)

    await mpw.adapter.writer.submit(confirm, None)
    [row] = mpw.rows(tables.transmissions)
    assert (row.state, row.relay_state) == ("delivered", outbox.CLOSED)
    bed.clock.offset += 24 * 3600
    assert await sweep(mpw) == 0


async def test_after_its_expiry_nobody_repeats_it_and_it_stays_listed_as_sent(bed: Bed, mpw: Party) -> None:
    accepted = await mpw.send("MOF", expires_at=instant(bed.clock.now() + timedelta(hours=1)))
    await mpw.letters_out()
    bed.clock.offset += timedelta(days=2).total_seconds()
    assert await sweep(mpw) == 0
    [letter] = mpw.adapter.correspondence.outbox(state=TransmissionState.SENT).items
    assert letter.letter_id == accepted.letter_id
    assert [(each.state, each.ended_at) for each in letter.transmissions] == [("sent", None)]


async def test_only_the_recipient_that_has_not_answered_is_tried_again(
    bed: Bed, mpw: Party, mof: Party, sab: Party
) -> None:
    await mpw.send("MOF", "SAB")
    letters = await mpw.letters_out()
    await mof.receive(*[letter for letter in letters if letter.queue.startswith("inbox.MOF")])
    await mpw.receive(*await mof.receipts_out())
    bed.clock.offset += 20 * MINUTE
    assert await sweep(mpw) == 1
    [again] = await mpw.letters_out()
    assert again.routing_key == "SAB.routine"
    await sab.receive(again)
    await mpw.receive(*await sab.receipts_out())
    assert set(mpw.states().values()) == {"delivered"}


async def test_a_lost_receipt_is_given_again_in_answer_to_the_repeated_letter(bed: Bed, mpw: Party, mof: Party) -> None:
    await mpw.send("MOF")
    await mof.receive(*await mpw.letters_out())
    await mof.receipts_out()  # confirmed by the broker, which then lost its disk
    bed.clock.offset += 20 * MINUTE
    await sweep(mpw)
    await exchange(mpw, mof)
    assert set(mpw.states().values()) == {"delivered"}
    assert [row.copies for row in mof.inbox()] == [2]
