"""One template for every broker: the private node of trials and tests, and the authority's own.

What is tested is therefore what runs. ``python -m broker.configuration`` writes the production files under
``deploy/rabbitmq/``; a test fails when they differ from what the template gives.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template

MIB = 1024 * 1024
GIB = 1024 * MIB
LARGEST_MESSAGE = MIB
FILES = ("rabbitmq.conf", "rabbitmq-env.conf", "enabled_plugins")


@dataclass(frozen=True, slots=True)
class Listener:
    """An address to listen on."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class BrokerTls:
    """PEM files of the broker.

    Attributes:
        authority: the root to which every client's certificate must chain.
        certificate: the broker's certificate with the issuing CA after it.
        key: its private key.
    """

    authority: Path
    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Configuration:
    """What differs from one broker to the next. Sizes are in bytes.

    Attributes:
        management_tls: the management interface speaks HTTPS (obligatory beyond loopback).
        definitions: file with the first account, see :mod:`broker.first_account`.
        node_name: Erlang name of this node, ``name@host``.
        distribution: where the nodes of a cluster reach each other (IPv4; loopback when there is one node).
        epmd_port: where Erlang's port mapper of this node listens, on the host of ``distribution``.
        cluster: Erlang names of all nodes, when there is more than one.
        wal_max_size_bytes: size at which the write-ahead log of the quorum queues is rolled over; up to four
            may exist at a time.
    """

    amqps: Listener
    tls: BrokerTls
    management: Listener
    management_tls: bool
    prometheus: Listener
    node_name: str
    distribution: Listener
    epmd_port: int
    definitions: Path
    disk_free_limit: int
    memory_limit: int
    wal_max_size_bytes: int
    log_level: str = "info"
    erlang_arguments: str = ""
    cluster: tuple[str, ...] = ()
    purpose: str = "RabbitMQ of a private node."

    def _management(self) -> str:
        kind = "ssl" if self.management_tls else "tcp"
        lines = [
            f"management.{kind}.ip = {self.management.host}",
            f"management.{kind}.port = {self.management.port}",
        ]
        if self.management_tls:
            lines += [
                f"management.ssl.certfile = {self.tls.certificate}",
                f"management.ssl.keyfile = {self.tls.key}",
                "management.ssl.versions.1 = tlsv1.3",
            ]
        return "\n".join(lines)

    def _cluster(self) -> str:
        if not self.cluster:
            return ""
        nodes = "\n".join(
            f"cluster_formation.classic_config.nodes.{number} = {node}" for number, node in enumerate(self.cluster, 1)
        )
        return (
            "\n# The nodes of the cluster; a minority stops rather than answer for all.\n"
            "cluster_formation.peer_discovery_backend = classic_config\n"
            f"{nodes}\ncluster_partition_handling = pause_minority\n"
        )

    def render(self) -> Mapping[str, str]:
        """File name → text of ``rabbitmq.conf``, ``rabbitmq-env.conf`` and ``enabled_plugins``."""
        values = {
            "purpose": self.purpose,
            "amqps_host": self.amqps.host,
            "amqps_port": self.amqps.port,
            "authority": self.tls.authority,
            "certificate": self.tls.certificate,
            "key": self.tls.key,
            "definitions": self.definitions,
            "max_message_size": LARGEST_MESSAGE,
            "disk_free_limit": self.disk_free_limit,
            "memory_limit": self.memory_limit,
            "wal_max_size_bytes": self.wal_max_size_bytes,
            "cluster": self._cluster(),
            "management": self._management(),
            "prometheus_host": self.prometheus.host,
            "prometheus_port": self.prometheus.port,
            "log_level": self.log_level,
            "env_purpose": self.purpose.replace("rabbitmq.conf", "rabbitmq-env.conf"),
            "node_name": self.node_name,
            "epmd_port": self.epmd_port,
            "erlang_arguments": f" {self.erlang_arguments}" if self.erlang_arguments else "",
            "distribution_host": self.distribution.host,
            "distribution_tuple": self.distribution.host.replace(".", ","),
            "distribution_port": self.distribution.port,
        }
        templates = resources.files("broker.templates")
        return {name: Template(templates.joinpath(name).read_text("utf-8")).substitute(values) for name in FILES}


def production() -> Configuration:
    """The authority's broker on a machine of its own: 8 GB of memory, 500 GB of disk, one node."""
    etc = Path("/etc/rabbitmq/tarasul")
    return Configuration(
        amqps=Listener("0.0.0.0", 5671),  # noqa: S104 - agencies reach it from their networks, by mutual TLS
        tls=BrokerTls(etc / "root.pem", etc / "broker.pem", etc / "broker.key"),
        management=Listener("127.0.0.1", 15671),
        management_tls=True,
        prometheus=Listener("127.0.0.1", 15692),
        node_name="rabbit@localhost",
        distribution=Listener("127.0.0.1", 25672),
        epmd_port=4369,
        definitions=etc / "definitions.json",
        disk_free_limit=50 * GIB,
        memory_limit=5 * GIB,
        wal_max_size_bytes=512 * MIB,
        purpose="RabbitMQ of the central authority. Install as /etc/rabbitmq/rabbitmq.conf.",
    )


def write(configuration: Configuration, directory: Path) -> None:
    """Write the files of ``configuration`` into ``directory``."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in configuration.render().items():
        (directory / name).write_text(text, "utf-8")


if __name__ == "__main__":
    write(production(), Path(__file__).parent.parent / "deploy" / "rabbitmq")
