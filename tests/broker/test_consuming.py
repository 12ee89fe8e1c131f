"""Batches are acknowledged after the handler's return, and nothing in flight is lost or handled twice in good order."""

import asyncio
from collections.abc import Sequence

import pytest

from broker.consuming import BATCH, AfterAck, Delivery
from broker.publishing import Outcome
from broker.session import SessionState
from schemas.errors import ErrorCode, Refused
from tests.broker.bed import MOF_ROUTINE, MOF_URGENT, Broker, Mail, Publishers, Sessions, eventually, letter, rebuilt


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("broker.consuming.SHORTEST_RETRY_SECONDS", 0.01)
    monkeypatch.setattr("broker.session.SHORTEST_WAIT_SECONDS", 0.02)


async def fill(publishers: Publishers, count: int, to: str = "MOF.routine") -> None:
    publisher = await publishers.open()
    assert set(await publisher.publish([letter(n, to) for n in range(count)])) == {Outcome.CONFIRMED}


async def test_a_batch_refused_by_a_full_store_is_kept_and_given_again(
    broker: Broker, sessions: Sessions, publishers: Publishers
) -> None:
    await fill(publishers, 5)
    mail = Mail()
    mail.trouble = [Refused(ErrorCode.STORAGE_FULL) for _ in range(3)]
    receiver = await sessions.ready("MOF", {MOF_ROUTINE: mail})
    await mail.handled(5)
    assert mail.trouble == []
    assert (receiver.connects, mail.keys, [d.redelivered for d in mail.deliveries]) == (1, list(range(5)), [False] * 5)
    await receiver.stop()
    assert broker.keys(MOF_ROUTINE) == []


async def test_a_stop_while_the_store_is_full_returns_the_batch(
    broker: Broker, sessions: Sessions, publishers: Publishers
) -> None:
    await fill(publishers, 200)
    mail = Mail()
    mail.trouble = [Refused(ErrorCode.STORAGE_FULL) for _ in range(1_000)]
    receiver = await sessions.ready("MOF", {MOF_ROUTINE: mail})
    await mail.holding()
    await receiver.stop()
    assert mail.deliveries == []
    assert sorted(broker.keys(MOF_ROUTINE)) == list(range(200))


@pytest.mark.parametrize("trouble", [LookupError("unforeseen"), asyncio.CancelledError()], ids=["error", "cancelled"])
async def test_a_handler_that_breaks_gets_its_batch_again_in_a_new_life(
    broker: Broker, sessions: Sessions, publishers: Publishers, trouble: BaseException
) -> None:
    await fill(publishers, 5)
    mail = Mail()
    mail.trouble = [trouble]
    receiver = await sessions.ready("MOF", {MOF_ROUTINE: mail, MOF_URGENT: Mail()})
    await mail.handled(5)
    end = "was cancelled" if isinstance(trouble, asyncio.CancelledError) else "failed: LookupError"
    assert receiver.last_error == f"worker of {MOF_ROUTINE} {end}"
    assert (mail.keys, [d.redelivered for d in mail.deliveries]) == (list(range(5)), [True] * 5)
    await receiver.stop()
    assert broker.keys(MOF_ROUTINE) == []


async def test_a_stop_acknowledges_the_batch_in_hand_and_returns_the_rest(
    broker: Broker, sessions: Sessions, publishers: Publishers
) -> None:
    await fill(publishers, 400)
    mail = Mail()
    mail.gate.clear()
    receiver = await sessions.ready("MOF", {MOF_ROUTINE: mail})
    await mail.holding()
    held = len(mail.in_hand)
    assert held <= BATCH
    stopping = asyncio.ensure_future(receiver.stop())
    await receiver.wait_for(SessionState.DRAINING)
    mail.gate.set()
    await stopping
    assert mail.keys == list(range(held))
    assert mail.keys + sorted(broker.keys(MOF_ROUTINE)) == list(range(400))


async def test_what_a_hung_handler_holds_goes_back_when_the_stop_has_waited_long_enough(
    broker: Broker, sessions: Sessions, publishers: Publishers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.session.CLOSE_TIMEOUT_SECONDS", 0.3)
    await fill(publishers, 300)
    mail = Mail()
    mail.gate.clear()
    receiver = await sessions.ready("MOF", {MOF_ROUTINE: mail})
    await mail.holding()
    await receiver.stop()
    assert receiver.state is SessionState.DOWN
    assert mail.deliveries == []
    assert sorted(broker.keys(MOF_ROUTINE)) == list(range(300))


async def test_all_workers_cancelled_with_messages_in_flight_lose_nothing(
    broker: Broker, sessions: Sessions, publishers: Publishers
) -> None:
    await fill(publishers, 300)
    await fill(publishers, 300, to="MOF.urgent")
    routine, urgent = Mail(), Mail()
    for mail in (routine, urgent):
        mail.gate.clear()
    receiver = await sessions.ready("MOF", {MOF_ROUTINE: routine, MOF_URGENT: urgent})
    await routine.holding()
    await urgent.holding()
    for task in asyncio.all_tasks():
        if task.get_name().startswith("worker "):
            task.cancel()
    for mail in (routine, urgent):
        mail.gate.set()
    await rebuilt(receiver, 2)
    await routine.handled(300)
    await urgent.handled(300)
    assert sorted(routine.keys) == sorted(urgent.keys) == list(range(300))
    await receiver.stop()
    assert broker.keys(MOF_ROUTINE) == broker.keys(MOF_URGENT) == broker.keys("dead-letter") == []


async def test_what_follows_a_batch_runs_after_its_acknowledgement(
    broker: Broker, sessions: Sessions, publishers: Publishers
) -> None:
    await fill(publishers, 3)
    followed = asyncio.Event()

    async def handler(_batch: Sequence[Delivery]) -> AfterAck:
        return followed.set

    receiver = await sessions.ready("MOF", {MOF_ROUTINE: handler})
    await followed.wait()
    # No order to return anything: what is acknowledged is gone even when the connections are cut.
    assert receiver._build is not None
    for connection in receiver._build.connections:
        await connection.close()
    await rebuilt(receiver, 2)
    await receiver.stop()
    await eventually(lambda: broker.keys(MOF_ROUTINE) == [])
