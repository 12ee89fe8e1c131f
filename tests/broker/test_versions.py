"""What differs between releases of the broker: read from its version, and true of the one that runs."""

from collections.abc import Iterator

import pytest
from pamqp import commands

from broker.management import path
from broker.names import VHOST
from broker.versions import BrokerVersion
from schemas.errors import ErrorCode, Refused
from tests.broker.bed import MOF_ROUTINE, Broker, Publishers, letter
from tests.support.raw_client import RawClient

FORBIDDEN = "403"


@pytest.fixture
def sab(broker: Broker) -> Iterator[RawClient]:
    with broker.raw("SAB") as client:
        yield client


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("3.10.8", (3, 10, 8)),
        ("3.13", (3, 13, 0)),
        ("4.1.0-rc.2", (4, 1, 0)),
        ("4.3.1+build", (4, 3, 1)),
    ],
)
def test_versions_are_read(text: str, version: tuple[int, int, int]) -> None:
    found = BrokerVersion.parse(text)
    assert (found.major, found.minor, found.patch) == version


@pytest.mark.parametrize("text", ["3.10.7", "3.10", "3.9.29", "2.0.0", "", "four", "x3.10.8", "3"])
def test_what_is_too_old_or_no_version_is_refused(text: str) -> None:
    with pytest.raises(Refused) as refused:
        BrokerVersion.parse(text)
    assert refused.value.code is ErrorCode.BROKER_REFUSED


@pytest.mark.parametrize(
    ("text", "differences"),
    [
        ("3.10.8", (False, True, False, False, False)),
        ("3.11.0", (True, True, False, False, False)),
        ("3.12.0", (True, False, False, False, False)),
        ("4.0.5", (True, False, True, True, False)),
        ("4.2.5", (True, False, True, True, False)),
        ("4.2.6", (True, False, True, True, True)),
        ("4.3.1", (True, False, True, True, True)),
    ],
)
def test_each_difference_begins_with_one_release(text: str, differences: tuple[bool, ...]) -> None:
    version = BrokerVersion.parse(text)
    assert differences == (
        version.vhost_has_queue_type,
        version.counts_first_delivery,
        version.has_unlimited_delivery,
        version.topic_permissions_cover_cc,
        version.passive_declare_needs_permission,
    )
    assert bool(version.vhost_metadata()) == version.vhost_has_queue_type


def test_a_vhost_has_a_queue_type_or_does_not_know_of_one(broker: Broker, broker_version: BrokerVersion) -> None:
    broker.management.put(path("vhosts", "typed"), {"default_queue_type": "quorum"})
    try:
        kept = broker.management.get(path("vhosts", "typed")).get("default_queue_type")
    finally:
        broker.management.delete(path("vhosts", "typed"))
    assert (kept == "quorum") is broker_version.vhost_has_queue_type


async def test_a_first_delivery_is_counted_or_not(
    broker: Broker, publishers: Publishers, broker_version: BrokerVersion
) -> None:
    publisher = await publishers.open()
    await publisher.publish([letter(1)])
    [message] = broker.take(MOF_ROUTINE)
    assert ("x-delivery-count" in message["properties"].get("headers", {})) is broker_version.counts_first_delivery


def test_an_unlimited_delivery_limit_is_taken_or_refused(broker: Broker, broker_version: BrokerVersion) -> None:
    policy = {"pattern": "^nobody$", "definition": {"delivery-limit": -1}, "apply-to": "queues"}
    try:
        broker.management.put(path("policies", VHOST, "unlimited"), policy)
        taken = True
    except Refused:
        taken = False
    broker.management.delete(path("policies", VHOST, "unlimited"))
    assert taken is broker_version.has_unlimited_delivery


@pytest.mark.parametrize("header", ["CC", "BCC"])
def test_topic_permissions_look_at_copies_or_at_the_routing_key_alone(
    sab: RawClient, broker_version: BrokerVersion, header: str
) -> None:
    assert sab.publish("from.SAB", "MOF.order", b"x") == FORBIDDEN
    copied = sab.publish("from.SAB", "MOF.routine", b"x", headers={header: ["MOF.order"]})
    assert copied == (FORBIDDEN if broker_version.topic_permissions_cover_cc else "ack")


def test_a_passive_declare_takes_a_permission_or_shows_any_queue_to_all(
    sab: RawClient, broker_version: BrokerVersion
) -> None:
    assert sab.depth("inbox.SAB.routine") == 0
    seen = sab.send(commands.Queue.Declare(queue=MOF_ROUTINE, passive=True))
    assert seen == (FORBIDDEN if broker_version.passive_declare_needs_permission else "DeclareOk")
