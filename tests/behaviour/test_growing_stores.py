"""What a letter costs does not grow with the store: nothing that is done for one walks all that ever came or went."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, event

from agency_adapter.registry import Registration, Return
from broker.relay import Relay
from schemas.reasons import ReturnReason
from tests.behaviour.bed import Bed, Party, letters_for

A_MINUTE_LATER = 61


class Asked:
    """Every statement that the adapters of ``parties`` put to their stores from now on, once each."""

    def __init__(self, *parties: Party) -> None:
        self.statements: dict[str, Any] = {}
        self._parties = parties
        for party in parties:
            for engine in (party.adapter.store.engine, party.adapter.store.readings):
                event.listen(engine, "before_cursor_execute", self._note)

    def _note(self, _connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith(("SELECT", "UPDATE")):
            self.statements.setdefault(statement, parameters[0] if isinstance(parameters, list) else parameters)

    def walks(self) -> Sequence[tuple[str, str]]:
        """Those for which a table or an index is walked from end to end, with how.

        Not those over the partial indexes of what waits to be published: they stop after few rows.
        """
        asked = dict(self.statements)
        with self._parties[0].adapter.store.readings.connect() as connection:
            plans = {
                statement: connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
                for statement, parameters in asked.items()
            }
        return [
            (statement, row[3])
            for statement, plan in plans.items()
            for row in plan
            if row[3].startswith("SCAN") and not row[3].endswith(("_waiting", "CONSTANT ROW"))
        ]


async def test_what_is_done_for_a_letter_walks_no_table(bed: Bed, mpw: Party, mof: Party, sab: Party) -> None:
    asked = Asked(mpw, mof)
    sent = [await mpw.send("MOF", key="a key"), await mpw.send("MOF", outgoing_no="م.و/7"), await mpw.send("MOF")]
    letters = await letters_for("MOF", mpw)
    await mof.receive(*letters)
    bed.clock.offset += A_MINUTE_LATER
    await mof.receive(*letters)
    await mof.receive(bed.carry(sab.code, letters[0].body, letters[0].routing_key))
    clerk = mof.adapter.correspondence
    await clerk.register(Registration(sent[0].letter_id, "السجل العام"))
    await clerk.register(Registration(sent[1].letter_id, "السجل العام", incoming_no="1"))
    await clerk.return_(Return(sent[2].letter_id, "السجل العام", ReturnReason.DUPLICATE))
    receipts = await mof.receipts_out()
    await mpw.receive(*receipts)
    await mpw.receive(*receipts)
    for party in (mpw, mof):
        await party.adapter.writer.submit(_claim, party.adapter.relay)
        here = party.adapter.correspondence
        for look in (here.letter, here.letter_jws, here.timeline):
            look(sent[0].letter_id)
    tables = ("letters", "transmissions", "inbox", "receipts_issued", "receipts_received", "quarantine")
    assert all(any(table in statement for statement in asked.statements) for table in tables)
    assert asked.walks() == []


async def _claim(connection: Connection, relays: Sequence[Relay]) -> list[None]:
    for relay in relays:
        relay._claim(connection)
    return [None] * len(relays)


async def test_what_is_done_every_second_walks_no_table(mpw: Party) -> None:
    asked = Asked(mpw)
    await mpw.adapter.writer.submit(mpw.adapter._sweep_once, None)
    mpw.adapter._count_progress()
    assert len(asked.statements) == 2
    assert asked.walks() == []
