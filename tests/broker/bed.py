"""What the tests of the room do with a real broker: look into it, change it by hand, publish to it."""

import asyncio
import base64
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiormq
from aio_pika.abc import AbstractConnection

from broker import names
from broker.connection import BrokerAddress, connect
from broker.management import Management, path
from broker.node import PrivateNode
from broker.publishing import Outcome, Outgoing, Publisher
from broker.session import Delivery, Handler, Session, SessionState, Subscription
from broker.topology import TRIAL_SIZES, QueueType, Topology, build_topology
from schemas.envelope import Lane
from tests.support.raw_client import RawClient

AGENCIES = ("MPW", "MOF", "SAB")
MOF_ROUTINE = names.inbox_queue("MOF", Lane.ROUTINE)
MOF_URGENT = names.inbox_queue("MOF", Lane.URGENT)
SAB_ROUTINE = names.inbox_queue("SAB", Lane.ROUTINE)


def letter(key: int, to: str = "MOF.routine", size: int = 100) -> Outgoing:
    """A message whose body begins with its key."""
    body = f"{key} ".encode()
    return Outgoing((key,), to, body + b"x" * (size - len(body)), "application/jose")


def key_of(body: bytes) -> int:
    return int(body.split(b" ", 1)[0])


# An ordinary end is logged as [info].
_LOST_CONNECTION = re.compile(r"\[(?:error|warning)\] \S+ (?:closing|Error on) AMQP connection")


@dataclass
class Broker:
    """The node and what tests do with it."""

    node: PrivateNode
    management: Management
    topology: Topology = field(default_factory=lambda: build_topology(AGENCIES, TRIAL_SIZES))

    def address(self, user: str, *ports: int) -> BrokerAddress:
        files = self.node.client(user)
        nodes = tuple(f"127.0.0.1:{port}" for port in ports or (self.node.amqps_port,))
        return BrokerAddress(nodes, files.certificate, files.key, self.node.tls.broker.authority)

    def raw(self, user: str) -> RawClient:
        files = self.node.client(user)
        return RawClient(
            self.node.amqps_port, certificate=files.certificate, key=files.key, authority=self.node.tls.broker.authority
        )

    def take(self, queue: str) -> list[dict[str, Any]]:
        """Everything that is ready in ``queue``, in its order; it is empty then."""
        found: list[dict[str, Any]] = []
        where = path("queues", names.VHOST, queue, "get")
        order = {"count": 1000, "ackmode": "ack_requeue_false", "encoding": "base64"}
        while some := self.management.post(where, order):
            found += some
        return found

    def bodies(self, queue: str) -> list[bytes]:
        return [base64.b64decode(message["payload"]) for message in self.take(queue)]

    def keys(self, queue: str) -> list[int]:
        return [key_of(body) for body in self.bodies(queue)]

    def connections(self, name: str) -> list[str]:
        """Names at the management interface of the connections that call themselves ``name``."""
        found = self.management.get("/api/connections?columns=name,user_provided_name") or []
        return [entry["name"] for entry in found if entry.get("user_provided_name") == name]

    def lost_connections(self) -> int:
        """How many connections ended without a goodbye, as the broker's log has it."""
        return len(_LOST_CONNECTION.findall(self.node.log.read_text("utf-8", "replace")))

    def shrink(self, queue: str, limit: int) -> None:
        """Give ``queue`` a limit of ``limit`` bytes, over its policy, until :meth:`restore`."""
        [policy] = [p for p in self.topology.policies.values() if p.name == _policy_of(queue)]
        content = {
            "pattern": f"^{queue.replace('.', '[.]')}$",
            "definition": dict(policy.definition) | {"max-length-bytes": limit},
            "priority": 10,
            "apply-to": "queues",
        }
        self.management.put(path("policies", names.VHOST, "test-shrunk"), content)

    def restore(self) -> None:
        self.management.delete(path("policies", names.VHOST, "test-shrunk"))

    def purge(self) -> None:
        for name, queue in self.topology.queues.items():
            if queue.type is QueueType.QUORUM:
                self.management.delete(path("queues", names.VHOST, name, "contents"))


def _policy_of(queue: str) -> str:
    return {"inbox.MOF.routine": "inbox-routine", "inbox.MOF.urgent": "inbox-urgent"}[queue]


class Publishers:
    """Opens publishers as a session does, one connection each."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._connections: list[AbstractConnection] = []

    async def open(self, user: str = "MPW", *, port: int | None = None, confirm_timeout: float = 20.0) -> Publisher:
        address = self._broker.address(user, port or self._broker.node.amqps_port)
        connection = await connect(address, address.nodes[0], "test publisher", address.tls())
        self._connections.append(connection)
        channel = connection.channel(publisher_confirms=True)
        await channel.initialize(timeout=10)
        underlying: aiormq.abc.AbstractChannel = await channel.get_underlay_channel()
        return Publisher(underlying, names.from_exchange(user), confirm_timeout)

    async def fill(self, publisher: Publisher, to: str) -> int:
        """Publish to a shrunk mailbox until it refuses; returns how many it took."""
        taken = 0
        while (await publisher.publish([letter(10_000 + taken, to)]))[0] is Outcome.CONFIRMED:
            taken += 1
        return taken

    async def close(self) -> None:
        for connection in self._connections:
            await connection.close()


async def eventually(true: Callable[[], bool]) -> None:
    """Wait for what another process does and does not announce. The test's own time limit ends it."""
    while not await asyncio.to_thread(true):  # noqa: ASYNC110 - there is no event to wait for
        await asyncio.sleep(0.02)


class Mail:
    """A handler that keeps what it gets; ``gate`` closed, it holds the batch in hand."""

    def __init__(self) -> None:
        self.deliveries: list[Delivery] = []
        self.in_hand: list[Delivery] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.trouble: list[BaseException] = []
        self._changed = asyncio.Condition()

    @property
    def keys(self) -> list[int]:
        """Of what was handled and, as far as the worker could, acknowledged."""
        return [key_of(delivery.body) for delivery in self.deliveries]

    async def __call__(self, batch: Sequence[Delivery]) -> None:
        self.in_hand = list(batch)
        await self._tell()
        if self.trouble:
            raise self.trouble.pop(0)
        await self.gate.wait()
        self.deliveries += batch
        self.in_hand = []
        await self._tell()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def until(self, true: Callable[[], bool]) -> None:
        async with self._changed:
            await self._changed.wait_for(true)

    async def handled(self, count: int) -> None:
        await self.until(lambda: len(self.deliveries) >= count)

    async def holding(self) -> None:
        await self.until(lambda: bool(self.in_hand))


class Sessions:
    """Sessions of agencies, stopped at the end of the test."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._started: list[Session] = []

    def start(
        self,
        user: str,
        handlers: Mapping[str, Handler] | None = None,
        *,
        address: BrokerAddress | None = None,
        subscriptions: Sequence[Subscription] = (),
    ) -> Session:
        session = Session(
            address or self._broker.address(user),
            names.from_exchange(user),
            handlers or {},
            f"test {user}",
            subscriptions=subscriptions,
        )
        self._started.append(session)
        session.start()
        return session

    async def ready(
        self,
        user: str,
        handlers: Mapping[str, Handler] | None = None,
        *,
        address: BrokerAddress | None = None,
        subscriptions: Sequence[Subscription] = (),
    ) -> Session:
        session = self.start(user, handlers, address=address, subscriptions=subscriptions)
        await session.wait_for(SessionState.READY)
        return session

    async def stop(self) -> None:
        await asyncio.gather(*(session.stop() for session in self._started))


async def rebuilt(session: Session, connects: int) -> None:
    """Wait until ``session`` is ready for the ``connects``-th time."""
    while session.connects < connects or session.state is not SessionState.READY:
        await session.wait_for(*set(SessionState) - {session.state})
