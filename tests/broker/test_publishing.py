"""Batches on the real broker: one outcome for each message, and the right one."""

import asyncio

import pytest

from broker.configuration import LARGEST_MESSAGE
from broker.publishing import LARGEST_STATEMENT, Outcome, Outgoing
from broker.versions import BrokerVersion
from tests.broker.bed import MOF_ROUTINE, MOF_URGENT, SAB_ROUTINE, Broker, Publishers, eventually, key_of, letter
from tests.support.proxy import CuttingProxy

CONFIRMED, REFUSED, LOST, UNSENDABLE = Outcome.CONFIRMED, Outcome.REFUSED, Outcome.LOST, Outcome.UNSENDABLE


async def test_a_batch_is_confirmed_and_stands_in_each_queue_in_its_order(
    broker: Broker, publishers: Publishers
) -> None:
    publisher = await publishers.open()
    batch = [letter(n, ("MOF.routine", "MOF.urgent", "SAB.routine", "XYZ.routine")[n % 4]) for n in range(200)]
    batch += [letter(200, "MOF.routine", size=400_000), letter(201, "MOF.routine", size=0)]
    assert await publisher.publish(batch) == [CONFIRMED] * 202
    bodies = broker.bodies(MOF_ROUTINE)
    assert [key_of(body) for body in bodies] == [*range(0, 200, 4), 200, 201]
    assert bodies[-2] == batch[200].body
    assert broker.keys(MOF_URGENT) == list(range(1, 200, 4))
    assert broker.keys(SAB_ROUTINE) == list(range(2, 200, 4))
    # Nobody has that mailbox: the audit queue does.
    assert broker.keys("dead-letter") == list(range(3, 200, 4))


async def test_batches_side_by_side_each_get_their_own_answers(broker: Broker, publishers: Publishers) -> None:
    publisher = await publishers.open()
    batches = [[letter(100 * b + n) for n in range(b + 1)] for b in range(40)]
    answers = await asyncio.gather(*(publisher.publish(batch) for batch in batches))
    assert [len(answer) for answer in answers] == [len(batch) for batch in batches]
    assert {outcome for answer in answers for outcome in answer} == {CONFIRMED}
    assert sorted(broker.keys(MOF_ROUTINE)) == sorted(m.keys[0] for batch in batches for m in batch)


async def test_only_the_full_mailbox_refuses(broker: Broker, publishers: Publishers) -> None:
    publisher = await publishers.open()
    broker.shrink(MOF_ROUTINE, 500)
    taken = await publishers.fill(publisher, "MOF.routine")
    batch = [letter(n, ("MOF.routine", "SAB.routine")[n % 2]) for n in range(20)]
    assert await publisher.publish(batch) == [REFUSED, CONFIRMED] * 10
    assert broker.keys(SAB_ROUTINE) == list(range(1, 20, 2))
    assert broker.keys(MOF_ROUTINE) == [10_000 + n for n in range(taken)]


@pytest.mark.parametrize(
    "bad",
    [
        letter(1, size=LARGEST_MESSAGE + 1),
        letter(1, to="k" * 256),
        Outgoing((1,), "MOF.routine", b"1 ", "application/jose", statement="s" * (LARGEST_STATEMENT + 1)),
    ],
    ids=["body past the limit", "routing key past 255 bytes", "statement past the limit"],
)
async def test_what_no_broker_takes_is_not_sent_and_shifts_no_answer(
    broker: Broker, publishers: Publishers, bad: Outgoing
) -> None:
    publisher = await publishers.open()
    broker.shrink(MOF_ROUTINE, 500)
    await publishers.fill(publisher, "MOF.routine")
    batch = [bad, letter(2, "SAB.routine"), bad, letter(3), letter(4, "SAB.routine")]
    for _ in range(2):
        assert await publisher.publish(batch) == [UNSENDABLE, CONFIRMED, UNSENDABLE, REFUSED, CONFIRMED]
    assert await publisher.publish([bad]) == [UNSENDABLE]
    assert broker.keys(SAB_ROUTINE) == [2, 4, 2, 4]


def test_our_limit_of_a_message_is_the_brokers(broker: Broker) -> None:
    with broker.raw("MPW") as client:
        assert client.publish("from.MPW", "MOF.routine", b"x" * LARGEST_MESSAGE) == "ack"
        assert client.publish("from.MPW", "MOF.routine", b"x" * (LARGEST_MESSAGE + 1)) == "406"


async def test_a_message_carries_type_persistence_and_statement_and_nothing_else(
    broker: Broker, publishers: Publishers, broker_version: BrokerVersion
) -> None:
    publisher = await publishers.open()
    plain = letter(1)
    stated = Outgoing((2,), "MOF.routine", b"2 ", "application/octet-stream", statement="s" * LARGEST_STATEMENT)
    assert await publisher.publish([plain, stated]) == [CONFIRMED] * 2
    first, second = broker.take(MOF_ROUTINE)
    counted = {"x-delivery-count": 0} if broker_version.counts_first_delivery else {}
    assert first["properties"].pop("headers", {}) == counted
    assert first["properties"] == {"content_type": "application/jose", "delivery_mode": 2}
    assert first["exchange"] == "from.MPW"
    assert second["properties"] == {
        "content_type": "application/octet-stream",
        "delivery_mode": 2,
        "headers": {"statement": stated.statement} | counted,
    }


# The batch is about 42 kB on the wire: the first record, within the first frame, at its end, in the middle, near the
# end, and after the last byte but before the answers.
@pytest.mark.parametrize("sent", [1, 30, 200, 2_100, 20_000, 41_000, 42_300])
async def test_a_cut_in_mid_publish_loses_answers_and_never_invents_one(
    broker: Broker, publishers: Publishers, sent: int
) -> None:
    lost_before = broker.lost_connections()
    with CuttingProxy(broker.node.amqps_port) as proxy:
        publisher = await publishers.open(port=proxy.port)
        proxy.cut_after(sent)
        outcomes = await publisher.publish([letter(n, size=2_000) for n in range(20)])
        assert set(outcomes) <= {CONFIRMED, LOST}
        if proxy.cuts == 0:
            proxy.cut()
        assert await publisher.publish([letter(99)]) == [LOST]
        # What had reached the broker before the cut it may still be reading.
        await eventually(lambda: broker.lost_connections() > lost_before)
    # Whatever the broker has is a beginning of the batch, and what was confirmed is in it.
    arrived = broker.keys(MOF_ROUTINE)
    assert arrived == list(range(len(arrived)))
    assert {n for n, outcome in enumerate(outcomes) if outcome is CONFIRMED} <= set(arrived)


async def test_unanswered_messages_count_as_lost_after_the_limit(broker: Broker, publishers: Publishers) -> None:
    with CuttingProxy(broker.node.amqps_port) as proxy:
        publisher = await publishers.open(port=proxy.port, confirm_timeout=0.3)
        proxy.swallow()
        assert await publisher.publish([letter(n) for n in range(3)]) == [LOST] * 3
        proxy.flow()
        # The late confirms are nobody's; the next answers are still the right ones.
        publisher._confirm_timeout = 20.0
        assert await publisher.publish([letter(9, size=LARGEST_MESSAGE + 1), letter(4)]) == [UNSENDABLE, CONFIRMED]
    assert broker.keys(MOF_ROUTINE) == [0, 1, 2, 4]


async def test_a_closed_publisher_gives_up_what_is_unanswered_at_once(broker: Broker, publishers: Publishers) -> None:
    with CuttingProxy(broker.node.amqps_port) as proxy:
        publisher = await publishers.open(port=proxy.port)
        proxy.swallow()
        unanswered = asyncio.ensure_future(publisher.publish([letter(1)], publisher.close))
        assert await unanswered == [LOST]
        assert await publisher.publish([letter(2)]) == [LOST]


async def test_it_is_told_once_that_the_batch_was_written(publishers: Publishers) -> None:
    publisher = await publishers.open()
    written: list[int] = []
    await publisher.publish([letter(n) for n in range(5)], lambda: written.append(1))
    assert written == [1]
