"""The relay from a real outbox over a real broker: everything once, in order, and nothing stuck."""

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from broker import outbox
from broker.clock import Clock
from broker.configuration import LARGEST_MESSAGE
from broker.outbox import CLAIMED, CONFIRMED, PENDING
from broker.publishing import Outcome, Outgoing
from broker.relay import CHUNK, WINDOW, Lane, Relay
from broker.session import Session, SessionState
from broker.writer import Writer
from schemas.errors import ErrorCode, Refused
from tests.broker.bed import MOF_ROUTINE, SAB_ROUTINE, Broker, Publishers, Sessions, eventually
from tests.broker.notes import Notes, NoteStore
from tests.support.proxy import CuttingProxy


@dataclass
class Desk:
    """A store, its writer and its relay."""

    store: NoteStore
    writer: Writer
    clock: Clock

    def relay(self, session: Session, *sources: Notes) -> Relay:
        return Relay(session, self.writer, sources or (Notes(),), self.clock)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    store = NoteStore(tmp_path)
    writer = Writer(store.engine)
    writer.start()
    yield Desk(store, writer, Clock(0.0))
    await writer.close()
    store.close()


async def all_confirmed(desk: Desk) -> None:
    await eventually(lambda: set(desk.store.states().values()) == {CONFIRMED})


async def test_everything_waiting_is_published_once_and_in_the_order_of_its_lane(
    broker: Broker, sessions: Sessions, desk: Desk
) -> None:
    desk.store.add(range(0, 2_000, 2))
    desk.store.add(range(1, 2_000, 2), lane="SAB.routine")
    relay = desk.relay(await sessions.ready("MPW"))
    relay.start()
    await all_confirmed(desk)
    desk.store.add([2_000])
    await desk.writer.look()
    await all_confirmed(desk)
    await relay.stop()
    assert broker.keys(MOF_ROUTINE) == list(range(0, 2_001, 2))
    assert broker.keys(SAB_ROUTINE) == list(range(1, 2_000, 2))
    assert (relay.published, relay.confirmed, relay.refused, relay.lost) == (2_001, 2_001, 0, 0)
    assert set(desk.store.attempts().values()) == {1}


async def test_what_becomes_due_later_needs_nobody_to_wake_the_relay(
    broker: Broker, sessions: Sessions, desk: Desk
) -> None:
    relay = desk.relay(await sessions.ready("MPW"))
    relay.start()
    desk.store.add([1], due_at=desk.clock.unix_ms() + 300)
    await desk.writer.look()
    await all_confirmed(desk)
    await relay.stop()
    assert broker.keys(MOF_ROUTINE) == [1]


async def test_several_rows_travel_in_one_message_and_are_confirmed_together(
    broker: Broker, sessions: Sessions, desk: Desk
) -> None:
    desk.store.add(range(150))
    relay = desk.relay(await sessions.ready("MPW"), Notes(most_per_message=64))
    relay.start()
    await all_confirmed(desk)
    await relay.stop()
    assert [body.count(b"\n") + 1 for body in broker.bodies(MOF_ROUTINE)] == [64, 64, 22]


async def test_a_chunk_is_bounded_in_bytes_and_what_is_left_out_keeps_its_place(
    broker: Broker, sessions: Sessions, desk: Desk
) -> None:
    desk.store.add(range(12), size=350_000)
    relay = desk.relay(await sessions.ready("MPW"))
    relay.start()
    await all_confirmed(desk)
    await relay.stop()
    assert broker.keys(MOF_ROUTINE) == list(range(12))
    assert set(desk.store.attempts().values()) == {1}


async def test_a_full_mailbox_is_probed_one_message_at_a_time_and_holds_up_no_other_lane(
    broker: Broker, sessions: Sessions, desk: Desk, publishers: Publishers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.relay.SHORTEST_PROBE_WAIT_SECONDS", 0.05)
    monkeypatch.setattr("broker.relay.LONGEST_PROBE_WAIT_SECONDS", 0.05)
    broker.shrink(MOF_ROUTINE, 500)
    await publishers.fill(await publishers.open("SAB"), "MOF.routine")
    session = await sessions.ready("MPW")
    relay = desk.relay(session)
    sizes: list[int] = []
    publish = session.publish

    async def watched(messages: Sequence[Outgoing], written: Any = None) -> list[Outcome]:
        if to_mof := [message for message in messages if message.routing_key == "MOF.routine"]:
            sizes.append(len(to_mof))
            assert relay.lanes["MOF.routine"].in_flight <= WINDOW
            if relay.lanes["MOF.routine"].full_since is not None:
                assert relay.lanes["MOF.routine"].in_flight == len(messages) == 1
        return await publish(messages, written)

    monkeypatch.setattr(session, "publish", watched)
    desk.store.add(range(CHUNK))
    desk.store.add(range(1_000, 1_500), lane="SAB.routine")
    relay.start()
    await eventually(lambda: relay.refused >= CHUNK + 5)
    # While one mailbox is full everything for the other arrives, what comes later too.
    desk.store.add(range(1_500, 1_600), lane="SAB.routine")
    await desk.writer.look()
    await eventually(lambda: desk.store.count(CONFIRMED) == 600)
    assert broker.keys(SAB_ROUTINE) == list(range(1_000, 1_600))
    assert relay.lanes["MOF.routine"].full_since is not None
    assert relay.lanes["SAB.routine"].full_since is None
    assert sizes[0] == CHUNK
    assert set(sizes[1:]) == {1}

    broker.restore()
    broker.purge()
    await all_confirmed(desk)
    await relay.stop()
    assert relay.lanes["MOF.routine"].full_since is None
    assert broker.keys(MOF_ROUTINE) == list(range(CHUNK))


async def test_a_letter_waits_for_no_backlog_of_other_lanes(
    sessions: Sessions, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.relay.MOST_IN_FLIGHT", CHUNK)
    session = await sessions.ready("MPW")
    published: list[str] = []
    publish = session.publish

    async def watched(messages: Sequence[Outgoing], written: Any = None) -> list[Outcome]:
        published.extend(message.routing_key for message in messages)
        return await publish(messages, written)

    monkeypatch.setattr(session, "publish", watched)
    desk.store.add(range(10 * CHUNK), lane="MOF.routine")
    desk.store.add([10 * CHUNK], lane="SAB.urgent")
    relay = desk.relay(session)
    relay.start()
    await all_confirmed(desk)
    await relay.stop()
    assert published.index("SAB.urgent") <= CHUNK


async def test_a_full_lane_is_looked_at_when_its_probe_is_due_and_not_all_the_time(
    broker: Broker, sessions: Sessions, desk: Desk
) -> None:
    relay = desk.relay(await sessions.ready("MPW"))
    lane = relay.lanes.setdefault("MOF.routine", Lane())
    lane.refused(desk.clock.monotonic() - 100, 0.0, 1.0, probe=False)
    relay._look_at = math.inf
    with desk.store.changing() as connection:
        # Nothing waits: a probe that is due has nothing to send.
        assert relay.follow(connection) is None
    assert relay._look_at == math.inf
    desk.store.add([1])
    lane.next_probe = desk.clock.monotonic() + 100
    with desk.store.changing() as connection:
        assert relay.follow(connection) is None
    assert relay._look_at == lane.next_probe
    assert broker.keys(MOF_ROUTINE) == []


async def test_a_lost_publish_is_published_again(broker: Broker, sessions: Sessions, desk: Desk) -> None:
    with CuttingProxy(broker.node.amqps_port) as proxy:
        session = await sessions.ready("MPW", address=broker.address("MPW", proxy.port))
        relay = desk.relay(session)
        desk.store.add(range(500), size=1_000)
        for sent in (300, 40_000, 150_000):
            proxy.cut_after(sent)
            if sent == 300:
                relay.start()
            cuts = proxy.cuts
            await eventually(lambda cuts=cuts: proxy.cuts > cuts or desk.store.count(CONFIRMED) == 500)
        await all_confirmed(desk)
        await relay.stop()
        await session.stop()
    arrived = broker.keys(MOF_ROUTINE)
    assert set(arrived) == set(range(500))
    assert relay.lost > 0
    assert relay.confirmed == 500


async def test_a_message_that_cannot_be_sent_holds_up_nobody(broker: Broker, sessions: Sessions, desk: Desk) -> None:
    desk.store.add([1], size=LARGEST_MESSAGE + 1)
    desk.store.add([2, 3])
    session = await sessions.ready("MPW")
    relay = desk.relay(session)
    relay.start()
    await eventually(lambda: desk.store.states() == {1: PENDING, 2: CONFIRMED, 3: CONFIRMED})
    await relay.stop()
    assert broker.keys(MOF_ROUTINE) == [2, 3]
    assert session.connects == 1
    with desk.store.readings.connect() as connection:
        [head] = outbox.lane_heads(connection, Notes.table)
    assert head.due_at > desk.clock.unix_ms() + 3_000_000


async def test_a_lease_that_ran_out_is_claimed_again(broker: Broker, sessions: Sessions, desk: Desk) -> None:
    desk.store.add([1, 2])
    with desk.store.changing() as connection:
        now = desk.clock.unix_ms()
        outbox.claim(connection, Notes.table, [1, 2], lease_until=now + 1_000)
    relay = desk.relay(await sessions.ready("MPW"))
    relay.start()
    with desk.store.changing() as connection:
        assert outbox.release_expired(connection, Notes.table, now=desk.clock.unix_ms()) == 0
    desk.clock.offset += 2
    with desk.store.changing() as connection:
        assert outbox.release_expired(connection, Notes.table, now=desk.clock.unix_ms()) == 2
    await desk.writer.look()
    await all_confirmed(desk)
    await relay.stop()
    assert broker.keys(MOF_ROUTINE) == [1, 2]
    assert desk.store.attempts() == {1: 2, 2: 2}


async def test_a_stop_waits_for_the_answers_to_what_is_in_flight(
    broker: Broker, sessions: Sessions, desk: Desk
) -> None:
    with CuttingProxy(broker.node.amqps_port) as proxy:
        relay = desk.relay(await sessions.ready("MPW", address=broker.address("MPW", proxy.port)))
        proxy.swallow()
        desk.store.add(range(10))
        relay.start()
        await eventually(lambda: relay.published == 10)
        desk.store.add(range(10, 20))
        stopping = asyncio.ensure_future(relay.stop())
        await asyncio.sleep(0)
        assert not stopping.done()
        proxy.flow()
        await stopping
        assert desk.store.states() == dict.fromkeys(range(10), CONFIRMED) | dict.fromkeys(range(10, 20), PENDING)
        await sessions.stop()
    assert broker.keys(MOF_ROUTINE) == list(range(10))


async def test_while_there_is_no_session_nothing_is_claimed(sessions: Sessions, broker: Broker, desk: Desk) -> None:
    with CuttingProxy(broker.node.amqps_port) as proxy:
        proxy.refuse()
        session = sessions.start("MPW", address=broker.address("MPW", proxy.port))
        desk.store.add(range(10))
        relay = desk.relay(session)
        relay.start()
        await eventually(lambda: session.last_error is not None)
        assert desk.store.count(PENDING) == 10
        assert set(desk.store.attempts().values()) == {0}
        proxy.accept()
        await all_confirmed(desk)
        await relay.stop()
        await session.stop()


class Unclaimable(Notes):
    """A source that cannot be loaded, until :attr:`trouble` is over."""

    def __init__(self, trouble: Exception) -> None:
        super().__init__()
        self.trouble: Exception | None = trouble
        self.asked = asyncio.Event()

    def load(self, connection: Connection, keys: Sequence[int]) -> list[Outgoing]:
        self.asked.set()
        if self.trouble is not None:
            raise self.trouble
        return super().load(connection, keys)


@pytest.mark.parametrize(
    "trouble", [Refused(ErrorCode.STORAGE_FULL), OperationalError("", None, OSError("unable to open database file"))]
)
async def test_a_claim_that_the_store_does_not_take_for_now_is_made_later_and_leaves_nothing_claimed(
    broker: Broker, sessions: Sessions, desk: Desk, trouble: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.relay.SHORTEST_PROBE_WAIT_SECONDS", 0.05)
    source = Unclaimable(trouble)
    desk.store.add([1], lane="MOF.routine")
    desk.store.add([2], lane="SAB.routine")
    relay = desk.relay(await sessions.ready("MPW"), source)
    relay.start()
    await source.asked.wait()
    await desk.writer.look()
    assert desk.store.states() == {1: PENDING, 2: PENDING}
    assert not relay.failed.done()
    source.trouble = None
    await all_confirmed(desk)
    await relay.stop()
    assert broker.keys(MOF_ROUTINE) == [1]
    assert broker.keys(SAB_ROUTINE) == [2]
    assert set(desk.store.attempts().values()) == {1}


async def test_an_unforeseen_failure_of_a_claim_ends_the_relay_for_all_to_see(sessions: Sessions, desk: Desk) -> None:
    desk.store.add([1])
    relay = desk.relay(await sessions.ready("MPW"), Unclaimable(LookupError("unforeseen")))
    relay.start()
    with pytest.raises(LookupError, match="unforeseen"):
        await relay.failed
    await relay.stop()


class Unmarkable(Notes):
    """A source that cannot be told of a confirm, until :attr:`trouble` is over."""

    def __init__(self, trouble: Exception) -> None:
        super().__init__()
        self.trouble: Exception | None = trouble
        self.asked = asyncio.Event()

    def confirm(self, connection: Connection, keys: Sequence[int], now: int) -> None:
        self.asked.set()
        if self.trouble is not None:
            raise self.trouble
        super().confirm(connection, keys, now)


async def test_an_unforeseen_failure_of_a_delivery_ends_the_relay_for_all_to_see(
    sessions: Sessions, desk: Desk
) -> None:
    desk.store.add([1])
    relay = desk.relay(await sessions.ready("MPW"), Unmarkable(LookupError("unforeseen")))
    relay.start()
    with pytest.raises(LookupError, match="unforeseen"):
        await relay.failed
    await relay.stop()
    assert desk.store.count(CLAIMED) == 1


async def test_a_confirm_that_cannot_be_written_for_now_is_written_later(
    broker: Broker, sessions: Sessions, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.relay.SHORTEST_PROBE_WAIT_SECONDS", 0.05)
    desk.store.add([1])
    source = Unmarkable(Refused(ErrorCode.STORAGE_FULL))
    relay = desk.relay(await sessions.ready("MPW"), source)
    relay.start()
    await source.asked.wait()
    source.trouble = None
    await all_confirmed(desk)
    await relay.stop()
    assert broker.keys(MOF_ROUTINE) == [1]
    assert desk.store.attempts() == {1: 1}


async def test_a_confirm_that_cannot_be_written_before_the_stop_is_left_to_the_next_start(
    sessions: Sessions, desk: Desk
) -> None:
    desk.store.add([1])
    source = Unmarkable(Refused(ErrorCode.STORAGE_FULL))
    relay = desk.relay(await sessions.ready("MPW"), source)
    relay.start()
    await source.asked.wait()
    await relay.stop()
    assert not relay.failed.done()
    assert desk.store.count(CLAIMED) == 1


async def test_two_outboxes_on_one_lane_share_its_window_and_its_probe(sessions: Sessions, desk: Desk) -> None:
    desk.store.add(range(1_000))
    relay = desk.relay(await sessions.ready("MPW"), Notes(), Notes(), Notes(), Notes())
    with desk.store.changing() as connection:
        assert sum(len(each.messages) for each in relay._claim(connection)) == CHUNK
        relay.lanes["MOF.routine"].refused(0.0, 0.0, 0.0, probe=False)
        assert [len(each.messages) for each in relay._claim(connection)] == [1]
    assert relay._session.state is SessionState.READY
