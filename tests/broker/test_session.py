"""The session over mutual TLS: its states, what ends a life of it, and that the next life has everything."""

import asyncio
import ssl
from pathlib import Path

import pytest
from aio_pika.abc import AbstractConnection

from broker import names
from broker import session as session_module
from broker.connection import BrokerAddress
from broker.management import path
from broker.node_certificates import ThrowawayAuthority
from broker.node_probe import answers_amqp
from broker.publishing import Outcome
from broker.session import SessionState, Subscription
from broker.topology_apply import apply
from tests.broker.bed import MOF_ROUTINE, MOF_URGENT, Broker, Mail, Publishers, Sessions, eventually, letter, rebuilt
from tests.support.proxy import CuttingProxy

MEMORY_ALARM = ("set_vm_memory_high_watermark", "0.0000001")
NO_MEMORY_ALARM = ("set_vm_memory_high_watermark", "absolute", str(1024 * 1024 * 1024))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits of seconds instead of half minutes."""
    monkeypatch.setattr("broker.session.CONFIRM_TIMEOUT_SECONDS", 0.5)
    monkeypatch.setattr("broker.session.CLOSE_TIMEOUT_SECONDS", 0.5)
    monkeypatch.setattr("broker.session.SHORTEST_WAIT_SECONDS", 0.02)
    monkeypatch.setattr("broker.session.LONGEST_WAIT_SECONDS", 0.1)
    monkeypatch.setattr("broker.connection.CONNECT_TIMEOUT_SECONDS", 1.0)
    monkeypatch.setattr("broker.connection.HEARTBEAT_SECONDS", 1)


async def test_a_session_connects_works_drains_and_is_down(sessions: Sessions) -> None:
    mail = Mail()
    receiver = sessions.start("MOF", {MOF_ROUTINE: mail})
    states: list[SessionState] = []
    receiver.on_change.append(states.append)
    sender = await sessions.ready("MPW")
    assert await sender.publish([letter(n) for n in range(300)]) == [Outcome.CONFIRMED] * 300
    await mail.handled(300)
    assert mail.keys == list(range(300))
    assert {(d.exchange, d.routing_key, d.queue) for d in mail.deliveries} == {("from.MPW", "MOF.routine", MOF_ROUTINE)}
    await receiver.stop()
    assert states == [SessionState.CONNECTING, SessionState.READY, SessionState.DRAINING, SessionState.DOWN]
    await sender.stop()
    assert await sender.publish([letter(1)]) == [Outcome.LOST]


async def test_an_alarm_blocks_the_publishers_and_mail_still_comes_in(broker: Broker, sessions: Sessions) -> None:
    sender = await sessions.ready("MPW")
    assert await sender.publish([letter(1)]) == [Outcome.CONFIRMED]
    await asyncio.to_thread(broker.node.ctl, *MEMORY_ALARM)
    try:
        held = asyncio.ensure_future(sender.publish([letter(2)]))
        await sender.wait_for(SessionState.BLOCKED)
        assert await sender.publish([letter(3)]) == [Outcome.LOST]
        assert not held.done()

        mail = Mail()
        await sessions.ready("MOF", {MOF_ROUTINE: mail})
        await mail.handled(1)
        assert mail.keys == [1]
    finally:
        await asyncio.to_thread(broker.node.ctl, *NO_MEMORY_ALARM)
    await sender.wait_for(SessionState.READY)
    assert await held == [Outcome.CONFIRMED]
    await mail.handled(2)
    assert sender.connects == 1


async def test_an_alarm_that_ends_while_a_session_drains_makes_it_ready_no_more(
    broker: Broker, sessions: Sessions, publishers: Publishers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.session.CLOSE_TIMEOUT_SECONDS", 60.0)
    assert await (await publishers.open()).publish([letter(1)]) == [Outcome.CONFIRMED]
    mail = Mail()
    mail.gate.clear()
    session = await sessions.ready("MOF", {MOF_ROUTINE: mail})
    await mail.holding()
    await asyncio.to_thread(broker.node.ctl, *MEMORY_ALARM)
    try:
        held = asyncio.ensure_future(session.publish([letter(2)]))
        await session.wait_for(SessionState.BLOCKED)
        stopping = asyncio.ensure_future(session.stop())
        await session.wait_for(SessionState.DRAINING)
        states: list[SessionState] = []
        session.on_change.append(states.append)
    finally:
        await asyncio.to_thread(broker.node.ctl, *NO_MEMORY_ALARM)
    # The broker says that the alarm is over before it takes what was held back.
    assert await held == [Outcome.CONFIRMED]
    mail.gate.set()
    await stopping
    assert states == [SessionState.DOWN]


async def test_a_blocked_session_that_is_lost_does_not_stay_blocked(broker: Broker, sessions: Sessions) -> None:
    with CuttingProxy(broker.node.amqps_port) as proxy:
        sender = await sessions.ready("MPW", address=broker.address("MPW", proxy.port))
        await asyncio.to_thread(broker.node.ctl, *MEMORY_ALARM)
        try:
            held = asyncio.ensure_future(sender.publish([letter(1)]))
            await sender.wait_for(SessionState.BLOCKED)
            proxy.cut()
            assert await held == [Outcome.LOST]
            await rebuilt(sender, 2)
        finally:
            await asyncio.to_thread(broker.node.ctl, *NO_MEMORY_ALARM)
        assert await sender.publish([letter(2)]) == [Outcome.CONFIRMED]
        await sender.stop()


@pytest.mark.usefixtures("impatient")
async def test_a_queue_deleted_under_its_consumer_is_consumed_again_once_it_is_back(
    broker: Broker, sessions: Sessions
) -> None:
    mail = Mail()
    receiver = await sessions.ready("MOF", {MOF_URGENT: Mail(), MOF_ROUTINE: mail})
    broker.management.delete(path("queues", names.VHOST, MOF_ROUTINE))
    await receiver.wait_for(SessionState.CONNECTING)
    assert receiver.last_error == f"consumer of {MOF_ROUTINE} cancelled"
    await eventually(lambda: "NOT_FOUND" in (receiver.last_error or ""))
    assert apply(broker.management, broker.topology).left == ()
    await receiver.wait_for(SessionState.READY)
    sender = await sessions.ready("MPW")
    assert await sender.publish([letter(1)]) == [Outcome.CONFIRMED]
    await mail.handled(1)


@pytest.mark.usefixtures("impatient")
async def test_a_connection_closed_by_the_operator_is_built_again(broker: Broker, sessions: Sessions) -> None:
    mail = Mail()
    receiver = await sessions.ready("MOF", {MOF_ROUTINE: mail})
    await eventually(lambda: len(broker.connections("test MOF consume")) == 1)
    [connection] = broker.connections("test MOF consume")
    broker.management.delete(path("connections", connection))
    await rebuilt(receiver, 2)
    assert receiver.last_error == (
        "consuming connection closed: [Errno 320] CONNECTION_FORCED - Closed via management plugin"
    )
    sender = await sessions.ready("MPW")
    assert await sender.publish([letter(1)]) == [Outcome.CONFIRMED]
    await mail.handled(1)


async def test_a_dead_node_is_passed_over_for_the_next(
    broker: Broker, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.session._dice.choice", lambda nodes: nodes[0])
    with CuttingProxy(broker.node.amqps_port) as dead:
        dead.refuse()
        session = await sessions.ready("MPW", address=broker.address("MPW", dead.port, broker.node.amqps_port))
        assert session.last_error is not None
        assert await session.publish([letter(1)]) == [Outcome.CONFIRMED]


def _context(authority: Path, files: tuple[Path, Path] | None, version: ssl.TLSVersion) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = context.maximum_version = version
    context.load_verify_locations(authority)
    if files is not None:
        context.load_cert_chain(*files)
    return context


@pytest.mark.parametrize("fault", ["none", "no certificate", "TLS 1.2", "foreign certificate", "foreign broker"])
def test_only_tls_1_3_with_certificates_of_one_authority_gets_an_answer(
    broker: Broker, tmp_path: Path, fault: str
) -> None:
    foreign = ThrowawayAuthority(tmp_path / "foreign")
    own = broker.node.client("MPW")
    issued = foreign.issue("MPW") if fault == "foreign certificate" else own
    context = _context(
        foreign.root if fault == "foreign broker" else broker.node.tls.broker.authority,
        None if fault == "no certificate" else (issued.certificate, issued.key),
        ssl.TLSVersion.TLSv1_2 if fault == "TLS 1.2" else ssl.TLSVersion.TLSv1_3,
    )
    assert answers_amqp("127.0.0.1", broker.node.amqps_port, context, "localhost") == (fault == "none")


@pytest.mark.usefixtures("impatient")
async def test_certificates_that_are_renewed_on_the_disk_are_used_at_the_next_try(
    broker: Broker, sessions: Sessions, tmp_path: Path
) -> None:
    foreign = ThrowawayAuthority(tmp_path / "foreign")
    authority = tmp_path / "authority.pem"
    authority.write_bytes(foreign.root.read_bytes())
    files = foreign.issue("MPW")
    session = sessions.start(
        "MPW", address=BrokerAddress(broker.address("MPW").nodes, files.certificate, files.key, authority)
    )
    await eventually(lambda: "CERTIFICATE_VERIFY_FAILED" in (session.last_error or ""))
    authority.write_bytes(broker.node.tls.broker.authority.read_bytes())
    session.last_error = None
    await eventually(lambda: session.last_error is not None)
    assert session.connects == 0
    own = broker.node.client("MPW")
    files.key.write_bytes(own.key.read_bytes())
    files.certificate.write_bytes(own.certificate.read_bytes())
    await session.wait_for(SessionState.READY)


@pytest.mark.usefixtures("impatient")
async def test_a_black_hole_is_noticed_by_an_unanswered_publish(broker: Broker, sessions: Sessions) -> None:
    with CuttingProxy(broker.node.amqps_port) as proxy:
        session = await sessions.ready("MPW", address=broker.address("MPW", proxy.port))
        proxy.swallow()
        assert await session.publish([letter(1)]) == [Outcome.LOST]
        await session.wait_for(SessionState.CONNECTING)
        assert session.last_error == "a publish was not answered"
        proxy.flow()
        await rebuilt(session, 2)
        assert await session.publish([letter(2)]) == [Outcome.CONFIRMED]
        await session.stop()


@pytest.mark.usefixtures("impatient")
async def test_a_black_hole_is_noticed_by_the_heartbeat(broker: Broker, sessions: Sessions) -> None:
    mail = Mail()
    with CuttingProxy(broker.node.amqps_port) as proxy:
        session = await sessions.ready("MOF", {MOF_ROUTINE: mail}, address=broker.address("MOF", proxy.port))
        proxy.swallow()
        await session.wait_for(SessionState.CONNECTING)
        proxy.flow()
        await rebuilt(session, 2)
        sender = await sessions.ready("MPW")
        assert await sender.publish([letter(1)]) == [Outcome.CONFIRMED]
        await mail.handled(1)
        assert not session.failed.done()
        await session.stop()


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("where", ["while connecting", "while closing"])
async def test_a_cancellation_that_nobody_asked_for_ends_one_life_and_not_the_session(
    broker: Broker, sessions: Sessions, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """The library ends its waiters by a CancelledError when a connection dies; when, no test can choose."""
    strays = [1]

    async def stray(*_: object) -> None:
        strays.pop()
        raise asyncio.CancelledError

    if where == "while connecting":
        connect = session_module.connect

        async def stray_first(address: BrokerAddress, node: str, name: str, tls: ssl.SSLContext) -> AbstractConnection:
            if strays:
                await stray()
            return await connect(address, node, name, tls)

        monkeypatch.setattr(session_module, "connect", stray_first)
        session = sessions.start("MPW")
    else:
        session = await sessions.ready("MPW")
        assert session._build is not None
        first, second = session._build.connections
        close = first.close
        monkeypatch.setattr(first, "close", stray)
        await second.close()
    await rebuilt(session, 1 if where == "while connecting" else 2)
    assert strays == []
    assert not session.failed.done()
    assert await session.publish([letter(1)]) == [Outcome.CONFIRMED]
    if where == "while closing":
        await close()
    assert broker.keys(MOF_ROUTINE) == [1]


@pytest.mark.usefixtures("impatient")
async def test_a_life_that_is_watched_no_longer_is_ended(sessions: Sessions) -> None:
    session = await sessions.ready("MPW")
    [watcher] = [task for task in asyncio.all_tasks() if task.get_name() == "watcher of alarms"]
    watcher.cancel()
    await rebuilt(session, 2)
    assert session.last_error == "the watcher of alarms ended"


@pytest.mark.usefixtures("impatient")
async def test_a_queue_that_was_absent_is_consumed_once_it_is_there(
    broker: Broker, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.session.ABSENT_POLL_SECONDS", 0.05)
    broker.management.delete(path("queues", names.VHOST, MOF_ROUTINE))
    mail = Mail()
    wanted = Subscription((MOF_URGENT, MOF_ROUTINE), mail, some_may_be_absent=True)
    receiver = await sessions.ready("MOF", subscriptions=[wanted])
    assert receiver.absent == (MOF_ROUTINE,)
    sender = await sessions.ready("MPW")
    assert await sender.publish([letter(1, "MOF.urgent")]) == [Outcome.CONFIRMED]
    await mail.handled(1)
    assert apply(broker.management, broker.topology).left == ()
    await rebuilt(receiver, receiver.connects + 1)
    assert receiver.absent == ()
    assert await sender.publish([letter(2)]) == [Outcome.CONFIRMED]
    await mail.handled(2)
    assert [(d.queue, d.body[:1]) for d in mail.deliveries] == [(MOF_URGENT, b"1"), (MOF_ROUTINE, b"2")]


async def test_a_stop_does_not_wait_for_a_node_that_does_not_answer(
    broker: Broker, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit in ("session.OPEN_TIMEOUT_SECONDS", "connection.CONNECT_TIMEOUT_SECONDS"):
        monkeypatch.setattr(f"broker.{limit}", 100_000.0)
    with CuttingProxy(broker.node.amqps_port) as proxy:
        proxy.swallow()
        session = sessions.start("MPW", address=broker.address("MPW", proxy.port))
        await eventually(lambda: proxy.links == 1)
        await session.stop()
    assert session.state is SessionState.DOWN


@pytest.mark.usefixtures("impatient")
async def test_fifty_losses_with_a_full_window_dead_letter_no_healthy_message(
    broker: Broker, sessions: Sessions, publishers: Publishers
) -> None:
    publisher = await publishers.open()
    assert set(await publisher.publish([letter(n) for n in range(500)])) == {Outcome.CONFIRMED}
    mail = Mail()
    mail.gate.clear()
    with CuttingProxy(broker.node.amqps_port) as proxy:
        session = await sessions.ready("MOF", {MOF_ROUTINE: mail}, address=broker.address("MOF", proxy.port))
        for lost in range(1, 51):
            assert session._build is not None
            [worker] = session._build.workers
            # The whole window is with us: one batch in hand, the rest behind it.
            await eventually(lambda worker=worker: len(mail.in_hand) + len(worker._arrived) == 500)  # type: ignore[misc]
            mail.in_hand = []
            proxy.cut()
            await rebuilt(session, lost + 1)
        mail.gate.set()
        await mail.handled(500)
        await session.stop()
    assert sorted(mail.keys) == list(range(500))
    assert min(delivery.headers["x-delivery-count"] for delivery in mail.deliveries) >= 50
    assert broker.keys(MOF_ROUTINE) == []
    assert broker.keys("dead-letter") == []
