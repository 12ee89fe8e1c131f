"""One private node with the topology of three agencies, for all tests of the room; each test finds it empty."""

from collections.abc import AsyncIterator, Iterator

import pytest

from broker.management import Credentials, Management
from broker.node import PrivateNode
from broker.topology_apply import apply
from tests.broker.bed import Broker, Publishers, Sessions


@pytest.fixture(scope="session")
def shared_node(new_node: type[PrivateNode]) -> Iterator[PrivateNode]:
    with new_node() as node:
        yield node


@pytest.fixture(scope="session")
def shared_broker(shared_node: PrivateNode) -> Iterator[Broker]:
    with Management(shared_node.management_url, Credentials.read(shared_node.credentials)) as management:
        broker = Broker(shared_node, management)
        assert apply(management, broker.topology).left == ()
        yield broker


@pytest.fixture
def broker(shared_broker: Broker) -> Iterator[Broker]:
    """The shared broker; whatever a test did to it is undone afterwards."""
    yield shared_broker
    shared_broker.restore()
    if not shared_broker.node.running:
        shared_broker.node.start()
    shared_broker.purge()
    assert apply(shared_broker.management, shared_broker.topology).left == ()


@pytest.fixture
async def publishers(broker: Broker) -> AsyncIterator[Publishers]:
    made = Publishers(broker)
    yield made
    await made.close()


@pytest.fixture
async def sessions(broker: Broker) -> AsyncIterator[Sessions]:
    made = Sessions(broker)
    yield made
    await made.stop()
