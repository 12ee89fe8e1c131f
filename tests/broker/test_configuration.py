"""One template: what is tested is what runs, and no secret is in it."""

import json
import re
import stat
from pathlib import Path

import pytest

from broker import configuration
from broker.configuration import (
    FILES,
    LARGEST_MESSAGE,
    BrokerTls,
    Configuration,
    Listener,
    production,
    write,
)
from broker.first_account import TOPOLOGY_USER, first_definitions, password_hash
from broker.management import Credentials, path
from tests.broker.bed import Broker

DEPLOYED = Path(configuration.__file__).parent.parent / "deploy" / "rabbitmq"


def settings(text: str) -> dict[str, str]:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    pairs = [line.partition(" = ") for line in lines]
    assert all(separator for _, separator, _ in pairs), "every line is `name = value`"
    found = {name: value for name, _, value in pairs}
    assert len(found) == len(lines), "no setting stands twice"
    return found


def some(**changes: object) -> Configuration:
    tls = BrokerTls(Path("root.pem"), Path("broker.pem"), Path("broker.key"))
    values: dict[str, object] = {
        "amqps": Listener("127.0.0.1", 1),
        "tls": tls,
        "management": Listener("127.0.0.1", 2),
        "management_tls": False,
        "prometheus": Listener("127.0.0.1", 3),
        "node_name": "rabbit@localhost",
        "distribution": Listener("127.0.0.1", 4),
        "epmd_port": 5,
        "definitions": Path("definitions.json"),
        "disk_free_limit": 6,
        "memory_limit": 7,
        "wal_max_size_bytes": 8,
    }
    return Configuration(**{**values, **changes})  # type: ignore[arg-type] # fields by name


def test_the_deployed_files_are_what_the_template_gives() -> None:
    """When it fails: `python -m broker.configuration`."""
    rendered = production().render()
    assert set(rendered) == set(FILES) == {file.name for file in DEPLOYED.iterdir()}
    assert {name: (DEPLOYED / name).read_text("utf-8") for name in FILES} == rendered


def test_rendering_leaves_no_placeholder_and_writes_every_file(tmp_path: Path) -> None:
    write(some(), tmp_path / "made")
    for name in FILES:
        assert "$" not in (tmp_path / "made" / name).read_text("utf-8")


def test_the_private_node_differs_from_production_in_places_and_sizes_alone(broker: Broker) -> None:
    private = settings((broker.node.directory / "configuration" / "rabbitmq.conf").read_text("utf-8"))
    real = settings(production().render()["rabbitmq.conf"])
    differing = {name for name in private.keys() & real.keys() if private[name] != real[name]}
    assert differing <= {
        "listeners.ssl.1",
        "ssl_options.cacertfile",
        "ssl_options.certfile",
        "ssl_options.keyfile",
        "load_definitions",
        "disk_free_limit.absolute",
        "vm_memory_high_watermark.absolute",
        "raft.wal_max_size_bytes",
        "prometheus.tcp.port",
    }
    assert {name.split(".")[0] for name in private.keys() ^ real.keys()} == {"management"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("listeners.tcp", "none"),
        ("ssl_options.versions.1", "tlsv1.3"),
        ("ssl_options.verify", "verify_peer"),
        ("ssl_options.fail_if_no_peer_cert", "true"),
        ("auth_mechanisms.1", "EXTERNAL"),
        ("ssl_cert_login_from", "common_name"),
        ("max_message_size", str(LARGEST_MESSAGE)),
        ("heartbeat", "10"),
        ("management.ssl.versions.1", "tlsv1.3"),
    ],
)
def test_what_production_must_never_lose(name: str, value: str) -> None:
    found = settings(production().render()["rabbitmq.conf"])
    assert found[name] == value
    assert not any(re.match(r"(auth_mechanisms|ssl_options\.versions)\.[2-9]", other) for other in found)


def test_everything_but_the_agencies_listener_is_on_loopback_in_production() -> None:
    rendered = production().render()
    found = settings(rendered["rabbitmq.conf"])
    assert found["management.ssl.ip"] == found["prometheus.tcp.ip"] == "127.0.0.1"
    environment = rendered["rabbitmq-env.conf"]
    assert "ERL_EPMD_ADDRESS=127.0.0.1" in environment
    assert environment.count("inet_dist_use_interface {127,0,0,1}") == 2


def test_a_cluster_names_its_nodes_and_its_minority_stops() -> None:
    found = settings(some(cluster=("rabbit@one", "rabbit@two", "rabbit@three")).render()["rabbitmq.conf"])
    assert found["cluster_formation.classic_config.nodes.3"] == "rabbit@three"
    assert found["cluster_partition_handling"] == "pause_minority"
    assert "cluster_partition_handling" not in settings(some().render()["rabbitmq.conf"])


def test_first_definitions_hold_one_account_and_no_password() -> None:
    text = first_definitions("a secret password", b"salt")
    assert "a secret password" not in text
    content = json.loads(text)
    assert [user["name"] for user in content["users"]] == [TOPOLOGY_USER]
    assert content["users"][0]["password_hash"] == password_hash("a secret password", b"salt")
    assert [vhost["name"] for vhost in content["vhosts"]] == ["tarasul"]


def test_a_password_hash_is_salted_as_the_broker_salts_it() -> None:
    # The example of the broker's documentation.
    assert password_hash("test12", bytes.fromhex("908DC60A")) == "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"


def test_no_file_but_the_secret_one_holds_the_management_password(broker: Broker) -> None:
    password = Credentials.read(broker.node.credentials).password.encode()
    holding = [
        file
        for file in broker.node.directory.rglob("*")
        if file.is_file() and file.stat().st_size < 50_000_000 and password in file.read_bytes()
    ]
    assert holding == [broker.node.credentials]
    assert stat.S_IMODE(broker.node.credentials.stat().st_mode) == 0o600


def test_the_broker_starts_with_neither_guest_nor_the_default_vhost(broker: Broker) -> None:
    assert [entry["name"] for entry in broker.management.get("/api/vhosts")] == ["tarasul"]
    assert broker.management.get(path("users", "guest")) is None
