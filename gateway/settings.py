"""The settings of the central authority: ``authority.toml``, safe defaults, nothing secret in it.

Paths are relative to the file; see :mod:`broker.settings_file`.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from broker.settings_file import Host, Node, Port, SettingsFile, Table, read_settings_file
from broker.topology import PRODUCTION_SIZES, TRIAL_SIZES, Cluster, Sizes

if TYPE_CHECKING:
    from broker.connection import BrokerAddress


def _with_a_good_port(url: str) -> str:
    _ = urlsplit(url).port  # raises ValueError for one that is no number, or too large
    return url


class BrokerSettings(Table):
    """The broker, as its operator reaches it.

    Attributes:
        addresses: ``host:port`` of AMQP over TLS, for the authority's own programs.
        management: URL of the management interface; HTTPS unless it is on this machine.
        credentials: JSON file (0600) with ``user`` and ``password``.
        ca_file: to which the management interface's certificate must chain.
        nodes: Erlang names of the cluster's nodes.
        replicas: on how many of them each queue is kept.
        sizes: limits of the queues: ``production`` (a disk of 500 GB), or ``trial``.
        disk_bytes: size of the disk with the broker's data; found out when the broker is on this machine.
    """

    addresses: Annotated[tuple[Node, ...], Field(min_length=1)] = ("localhost:5671",)
    management: Annotated[str, AfterValidator(_with_a_good_port)] = "https://localhost:15671"
    credentials: Path = Path("broker/management.json")
    ca_file: Path = Path("root.pem")
    nodes: Annotated[tuple[str, ...], Field(min_length=1)] = ("rabbit@localhost",)
    replicas: Annotated[int, Field(ge=1, le=9)] = 1
    sizes: Literal["production", "trial"] = "production"
    disk_bytes: Annotated[int, Field(ge=1)] | None = None

    @property
    def cluster(self) -> Cluster:
        return Cluster(self.nodes, self.replicas)

    @property
    def limits(self) -> Sizes:
        return PRODUCTION_SIZES if self.sizes == "production" else TRIAL_SIZES


class WatchSettings(Table):
    """Where ``/healthz``, ``/readyz`` and ``/metrics`` of ``authority run`` are. No token, no content."""

    host: Host = "127.0.0.1"
    port: Port = 8090


class AuthoritySettings(SettingsFile):
    """See the module's docstring.

    Attributes:
        store: a path, or ``postgresql://USER@HOST/DATABASE``; the password comes from libpq's password file.
        root, directory_file: say who is a member.
        keys: folder of the authority's own keys.
        accounts: folder of its log-ins at the broker.
        watch: for those who watch the machine.
    """

    store: str = "authority.db"
    keys: Path = Path("keys")
    accounts: Path = Path("accounts")
    watch: WatchSettings = WatchSettings()
    root: Path = Path("root.pem")
    directory_file: Path = Path("directory.jws")
    broker: BrokerSettings = BrokerSettings()

    def address(self, user: str) -> "BrokerAddress":
        """How the authority's program with the broker account ``user`` reaches the broker."""
        # The commands read settings too, and have no use for the AMQP library.
        from broker.connection import BrokerAddress  # noqa: PLC0415

        folder = self.path(self.accounts)
        return BrokerAddress(
            nodes=self.broker.addresses,
            certificate=folder / f"{user}.pem",
            key=folder / f"{user}.key",
            authority=self.path(self.root),
        )


def read_authority_settings(file: Path) -> AuthoritySettings:
    """See :func:`broker.settings_file.read_settings_file`."""
    return read_settings_file(file, AuthoritySettings)
