"""The settings of one adapter: one TOML file, safe defaults, nothing secret in it.

Paths are relative to the file; see :mod:`broker.settings_file`.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from broker.settings_file import Host, Node, Port, SettingsFile, Table, read_settings_file

if TYPE_CHECKING:
    from broker.connection import BrokerAddress


class ApiSettings(Table):
    """The local REST API. Loopback by default; put a proxy with TLS before it to reach it from elsewhere."""

    host: Host = "127.0.0.1"
    port: Port = 8100
    token_file: Path = Path("token")
    largest_body: Annotated[int, Field(ge=1024, le=4 * 1024 * 1024)] = 1024 * 1024


class BrokerSettings(Table):
    """Where the broker is. ``nodes`` are ``host:port``; the certificate must name the host."""

    nodes: Annotated[tuple[Node, ...], Field(min_length=1)]
    vhost: Annotated[str, Field(min_length=1)] = "tarasul"
    ca_file: Path = Path("root.pem")


class KeySettings(Table):
    """Folder of ``transport``, ``seal`` and ``envelope``, each a ``.key`` and a ``.pem``."""

    directory: Path = Path("keys")


class TrustSettings(Table):
    """The pinned root and the signed directory."""

    root: Path = Path("root.pem")
    directory_file: Path = Path("directory.jws")


class Settings(SettingsFile):
    """See the module's docstring."""

    agency: Annotated[str, Field(pattern=r"^[A-Z]{2,8}$")]
    store: Path = Path("store.db")
    api: ApiSettings = ApiSettings()
    broker: BrokerSettings
    keys: KeySettings = KeySettings()
    trust: TrustSettings = TrustSettings()

    def address(self) -> "BrokerAddress":
        """How this adapter reaches the broker."""
        # The command line reads settings too, and has no use for the AMQP library.
        from broker.connection import BrokerAddress  # noqa: PLC0415

        keys = self.path(self.keys.directory)
        return BrokerAddress(
            nodes=self.broker.nodes,
            certificate=keys / "transport.pem",
            key=keys / "transport.key",
            authority=self.path(self.broker.ca_file),
            vhost=self.broker.vhost,
        )


def read_settings(file: Path) -> Settings:
    """See :func:`broker.settings_file.read_settings_file`."""
    return read_settings_file(file, Settings)
