"""A pytest plugin: which tests need a broker, and that none gets one unasked.

Whatever starts a node, a fixture or a test, asks for the fixture ``rabbitmq``. Every test that depends on it, however
far away, bears the mark ``broker``: these are what ``make test RABBITMQ=…`` runs on another release. A test that starts
a node without having asked fails, so that none can stay out of those runs unseen. (Only a node that a process of the
test's own starts is not seen.)

Fixtures that start a node in this process take the kind of node from ``new_node``; what depends on them also bears the
mark ``container``, and runs with ``make test RABBITMQ=container`` on a broker in a container.
"""

import functools
import os
from collections.abc import Generator

import pytest

from broker.node import PrivateNode
from broker.node_installation import Installation
from broker.versions import BrokerVersion

ASKED = "rabbitmq"
IN_CONTAINER = os.environ.get("TARASUL_NODE") == "container"
_running: list[pytest.Item] = []


@pytest.fixture(scope="session")
def rabbitmq() -> Installation:
    """The RabbitMQ on which the tests run."""
    return node_type()().installation


@pytest.fixture(scope="session")
def new_node(rabbitmq: Installation) -> type[PrivateNode]:
    """What to start for a node of that RabbitMQ."""
    assert rabbitmq.version
    return node_type()


def node_type() -> type[PrivateNode]:
    """The private node, or the one whose broker runs in a container."""
    if not IN_CONTAINER:
        return PrivateNode
    from tests.support.container_node import ContainerNode  # noqa: PLC0415 - nowhere else is an engine needed

    return ContainerNode


@pytest.fixture(scope="session")
def broker_version(rabbitmq: Installation) -> BrokerVersion:
    """Its release, for what differs from one to the next."""
    return BrokerVersion.parse(rabbitmq.version)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _asks(item):
            item.add_marker(pytest.mark.broker)
        if _asks(item, "new_node"):
            item.add_marker(pytest.mark.container)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    _running.append(item)
    try:
        return (yield)
    finally:
        _running.pop()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"broker: depends on the fixture {ASKED}; set by this, not by hand")
    config.addinivalue_line("markers", "container: depends on the fixture new_node; set by this, not by hand")
    start = PrivateNode.start
    if hasattr(start, "__wrapped__"):
        return

    @functools.wraps(start)
    def start_when_asked(self: PrivateNode) -> None:
        if _running and not _asks(_running[-1]):
            pytest.fail(f"starts a broker: it, or the fixture that does, must ask for the fixture {ASKED}")
        start(self)

    PrivateNode.start = start_when_asked  # type: ignore[method-assign] # that is what this plugin is for


def _asks(item: pytest.Item, fixture: str = ASKED) -> bool:
    return fixture in getattr(item, "fixturenames", ())
