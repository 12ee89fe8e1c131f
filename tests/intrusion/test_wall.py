"""What the broker itself refuses to an agency's real account: everything but its own exchange and its own queues."""

import contextlib
import ssl
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pamqp import commands

from broker.management import Credentials, Management
from broker.topology import MAX_CHANNELS, MAX_CONNECTIONS
from broker.versions import BrokerVersion
from schemas.errors import ErrorCode, Refused
from tests.intrusion.door import HUNG_UP, NO_HANDSHAKE, OPEN, Door, tls_context
from tests.support.adapters import Bed, eventually
from tests.support.authority import MadeAuthority
from tests.support.raw_client import RawClient

FORBIDDEN = "403"
LARGEST_MESSAGE = 1024 * 1024
OWN_QUEUES = ("inbox.SAB.routine", "inbox.SAB.urgent", "notices.SAB", "orders.SAB")
QUEUES_OF_OTHERS = (
    "inbox.MOF.routine",
    "inbox.MOF.urgent",
    "notices.MOF",
    "orders.MOF",
    "dead-letter",
    "dead-letter.expired",
    "dead-letter.MOF",
    "dead-letter.SAB",
    "journal",
)
EXCHANGES = ("from.SAB", "from.MPW", "from.TRSL", "correspondence", "proofs", "dead-letter", "dead-letter.expired")
ELSEWHERE = ("", "amq.topic", "amq.direct", "amq.fanout", "amq.headers", "amq.rabbitmq.trace")


@pytest.mark.parametrize("exchange", [each for each in (*EXCHANGES, *ELSEWHERE) if each != "from.SAB"])
def test_an_agency_can_publish_to_no_exchange_but_its_own(sab: RawClient, exchange: str) -> None:
    assert sab.publish(exchange, "MOF.routine", b"x") == FORBIDDEN
    assert sab.publish(exchange, "inbox.MOF.routine", b"x") == FORBIDDEN


@pytest.mark.parametrize(
    "key", ["MOF.order", "MOF.nolane", "tick", "", "a.b.c", "MOF.routine.x", "dead-letter.MOF", "mof.routine"]
)
def test_an_agency_can_publish_with_no_routing_key_but_those_of_letters_notices_and_its_dead_letters(
    sab: RawClient, key: str
) -> None:
    assert sab.publish("from.SAB", key, b"x") == FORBIDDEN


@pytest.mark.parametrize("queue", QUEUES_OF_OTHERS)
def test_an_agency_can_neither_read_nor_empty_a_queue_that_is_not_its_own(sab: RawClient, queue: str) -> None:
    assert sab.get(queue) == FORBIDDEN
    assert sab.purge(queue) == FORBIDDEN
    assert sab.send(commands.Basic.Consume(queue=queue)) == FORBIDDEN
    assert sab.send(commands.Basic.Consume(queue=queue, arguments={"x-stream-offset": "first"})) == FORBIDDEN


@pytest.mark.parametrize("queue", [*OWN_QUEUES, *QUEUES_OF_OTHERS, "new", "", "inbox.SAB.x"])
def test_an_agency_can_neither_make_nor_delete_nor_bind_any_queue(sab: RawClient, queue: str) -> None:
    assert sab.send(commands.Queue.Declare(queue=queue, durable=True)) == FORBIDDEN
    assert sab.send(commands.Queue.Declare(queue=queue, exclusive=True)) == FORBIDDEN
    if queue:  # the empty name is the last queue declared, and there is none
        assert sab.send(commands.Queue.Delete(queue=queue)) == FORBIDDEN
        for exchange in ("from.SAB", "correspondence"):
            assert sab.send(commands.Queue.Bind(queue=queue, exchange=exchange, routing_key="#")) == FORBIDDEN
            assert sab.send(commands.Queue.Unbind(queue=queue, exchange=exchange, routing_key="#")) == FORBIDDEN


@pytest.mark.parametrize("exchange", [*EXCHANGES, "from.NEW"])
def test_an_agency_can_neither_make_nor_delete_nor_bind_any_exchange(sab: RawClient, exchange: str) -> None:
    assert sab.send(commands.Exchange.Declare(exchange=exchange, exchange_type="topic", durable=True)) == FORBIDDEN
    assert sab.send(commands.Exchange.Delete(exchange=exchange)) == FORBIDDEN
    for source, destination in (("from.SAB", exchange), (exchange, "from.SAB"), (exchange, "correspondence")):
        for method in (commands.Exchange.Bind, commands.Exchange.Unbind):
            assert sab.send(method(destination=destination, source=source, routing_key="#")) == FORBIDDEN


def test_a_passive_declaration_shows_an_agency_of_others_no_more_than_counts(
    bed: Bed, sab: RawClient, broker_version: BrokerVersion
) -> None:
    """What older brokers give away to every member: counts, never contents. Newer ones ask for a permission."""
    if broker_version.passive_declare_needs_permission:
        assert sab.send(commands.Queue.Declare(queue="inbox.MPW.routine", passive=True)) == FORBIDDEN
        assert sab.send(commands.Exchange.Declare(exchange="from.MPW", passive=True)) == FORBIDDEN
        return
    before = sab.depth("inbox.MPW.routine")
    assert sab.publish("from.SAB", "MPW.routine", b"x") == "ack"
    assert sab.depth("inbox.MPW.routine") == before + 1
    assert sab.send(commands.Exchange.Declare(exchange="from.MPW", passive=True)) == "DeclareOk"
    bed.reset()


def test_the_pseudo_queue_for_answers_opens_no_way_to_anybody(sab: RawClient) -> None:
    assert sab.send(commands.Basic.Consume(queue="amq.rabbitmq.reply-to", no_ack=True)) == "ConsumeOk"
    assert sab.publish("", "amq.rabbitmq.reply-to.x", b"x") == FORBIDDEN


def test_a_message_of_one_mebibyte_is_taken_and_one_byte_more_refused(bed: Bed, sab: RawClient) -> None:
    assert sab.publish("from.SAB", "MPW.routine", b"x" * LARGEST_MESSAGE) == "ack"
    assert sab.publish("from.SAB", "MPW.routine", b"x" * (LARGEST_MESSAGE + 1)) == "406"
    bed.reset()


# The door


@pytest.fixture
def port(bed: Bed) -> int:
    return bed.node.amqps_port


@pytest.fixture
def root(bed: Bed) -> Path:
    return bed.agency("SAB") / "root.pem"


@pytest.fixture
def transport(bed: Bed, root: Path) -> ssl.SSLContext:
    return tls_context(root, bed.agency("SAB") / "keys" / "transport.pem")


@pytest.mark.parametrize("purpose", ["seal", "envelope"])
def test_a_certificate_of_another_purpose_opens_no_connection(bed: Bed, port: int, root: Path, purpose: str) -> None:
    with Door(port, tls_context(root, bed.agency("SAB") / "keys" / f"{purpose}.pem")) as door:
        assert door.log_in() == NO_HANDSHAKE


def test_a_certificate_of_another_authority_opens_no_connection(port: int, root: Path, tmp_path: Path) -> None:
    other = MadeAuthority(tmp_path, agencies=["SAB"])
    with Door(port, tls_context(root, other.keys_folder("SAB") / "transport.pem")) as door:
        assert door.log_in() == NO_HANDSHAKE


def test_without_a_certificate_no_connection_opens(port: int, root: Path) -> None:
    with Door(port, tls_context(root)) as door:
        assert door.log_in() == NO_HANDSHAKE


def test_tls_1_2_is_refused(bed: Bed, port: int, root: Path) -> None:
    context = tls_context(root, bed.agency("SAB") / "keys" / "transport.pem", newest=ssl.TLSVersion.TLSv1_2)
    with Door(port, context) as door:
        assert door.log_in() == NO_HANDSHAKE


def test_external_is_the_only_way_to_log_in(port: int, transport: ssl.SSLContext) -> None:
    with Door(port, transport) as door:
        assert door.log_in() == OPEN
        assert door.mechanisms == ["EXTERNAL"]


def test_no_password_logs_in(port: int, transport: ssl.SSLContext) -> None:
    attempts = {
        "PLAIN": ["\0guest\0guest", "\0SAB\0SAB", "\0MPW\0", "\0tarasul-topology\0"],
        "AMQPLAIN": ["\x05LOGINS\0\0\0\x05guest\x08PASSWORDS\0\0\0\x05guest"],
        "ANONYMOUS": [""],
        "RABBIT-CR-DEMO": ["SAB"],
    }

    def attempt(mechanism: str, response: str) -> str:
        with Door(port, transport) as door:
            return door.log_in(mechanism, response)

    # Side by side: after each failure the broker is silent for three seconds.
    with ThreadPoolExecutor(MAX_CONNECTIONS) as pool:
        answers = [
            pool.submit(attempt, mechanism, response)
            for mechanism, responses in attempts.items()
            for response in responses
        ]
    assert {answer.result() for answer in answers} == {HUNG_UP}


def test_a_name_given_beside_the_certificate_is_not_believed(port: int, transport: ssl.SSLContext, bed: Bed) -> None:
    with Door(port, transport) as door:
        assert door.log_in("EXTERNAL", "MPW") == OPEN
        assert eventually(lambda: users_connected(bed), "a user in the list of connections") == {"SAB"}


def users_connected(bed: Bed) -> set[str]:
    with bed.management() as management:
        return {each["user"] for each in management.get("/api/connections")}


@pytest.mark.parametrize("vhost", ["/", "", "other"])
def test_no_other_vhost_opens(port: int, transport: ssl.SSLContext, vhost: str) -> None:
    with Door(port, transport) as door:
        assert door.log_in(vhost=vhost) == "530"


def test_a_seventeenth_channel_is_refused_on_one_connection_and_on_two(port: int, transport: ssl.SSLContext) -> None:
    with Door(port, transport) as first, Door(port, transport) as second:
        assert [first.log_in(), second.log_in()] == [OPEN, OPEN]
        assert {first.open_channel(number) for number in range(1, MAX_CHANNELS + 1)} == {OPEN}
        assert second.open_channel(1) == "530"
        assert first.open_channel(MAX_CHANNELS + 1) == "530"


def test_there_is_no_guest_and_no_agency_has_a_password(bed: Bed) -> None:
    with bed.management() as management:
        users = {each["name"]: each for each in management.get("/api/users")}
    assert "guest" not in users
    assert {name for name, user in users.items() if user["password_hash"]} == {"tarasul-topology"}
    assert {tag for name in ("SAB", "MPW", "TRSL") for tag in users[name]["tags"]} == set()


@pytest.mark.parametrize("password", ["", "SAB", "guest"])
def test_no_agency_gets_into_the_management_interface(bed: Bed, password: str) -> None:
    with (
        Management(bed.node.management_url, Credentials("SAB", password)) as management,
        pytest.raises(Refused) as refused,
    ):
        management.get("/api/whoami")
    assert refused.value.code is ErrorCode.BROKER_REFUSED


def test_a_fifth_connection_is_refused(port: int, transport: ssl.SSLContext) -> None:
    with contextlib.ExitStack() as doors:
        answers: list[str] = []

        def knock() -> str:
            with contextlib.ExitStack() as refused:
                answers.append(refused.enter_context(Door(port, transport)).log_in())
                if answers[-1] == OPEN:
                    doors.push(refused.pop_all())
            return answers[-1]

        for _ in range(MAX_CONNECTIONS):
            # What an earlier test hung up counts until the broker has noticed.
            eventually(lambda: knock() == OPEN, lambda: f"a place for one more connection: {answers}")
        assert [knock(), knock()] == ["530", "530"]
