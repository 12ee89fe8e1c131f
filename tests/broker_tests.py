"""A pytest plugin: which tests need a broker, and that none gets one unasked.

Whatever starts a node, a fixture or a test, asks for the fixture ``rabbitmq``. Every test that depends on it, however
far away, bears the mark ``broker``: these are what ``make test RABBITMQ=…`` runs on another release. A test that starts
a node without having asked fails, so that none can stay out of those runs unseen. (Only a node that a process of the
test's own starts is not seen.)
"""

import functools
from collections.abc import Generator

import pytest

from broker.node import PrivateNode
from broker.node_installation import Installation, find_installation
from broker.versions import BrokerVersion

ASKED = "rabbitmq"
_running: list[pytest.Item] = []


@pytest.fixture(scope="session")
def rabbitmq() -> Installation:
    """The RabbitMQ on which the tests run."""
    return find_installation()


@pytest.fixture(scope="session")
def broker_version(rabbitmq: Installation) -> BrokerVersion:
    """Its release, for what differs from one to the next."""
    return BrokerVersion.parse(rabbitmq.version)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _asks(item):
            item.add_marker(pytest.mark.broker)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    _running.append(item)
    try:
        return (yield)
    finally:
        _running.pop()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"broker: depends on the fixture {ASKED}; set by this, not by hand")
    start = PrivateNode.start
    if hasattr(start, "__wrapped__"):
        return

    @functools.wraps(start)
    def start_when_asked(self: PrivateNode) -> None:
        if _running and not _asks(_running[-1]):
            pytest.fail(f"starts a broker: it, or the fixture that does, must ask for the fixture {ASKED}")
        start(self)

    PrivateNode.start = start_when_asked  # type: ignore[method-assign] # that is what this plugin is for


def _asks(item: pytest.Item) -> bool:
    return ASKED in getattr(item, "fixturenames", ())
