"""The settings files that founding an authority writes: where the broker is, and where each program listens."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.members import authority_folder, write_whole

WATCH_PORT = 8090


@dataclass(frozen=True, slots=True)
class BrokerPlace:
    """Where the broker is, for the settings files.

    Attributes:
        host, port: of AMQP over TLS; the broker's certificate is issued to this host.
        management: URL of its management interface.
        credentials: file with the account of the management interface.
        sizes: ``production`` or ``trial``, see :mod:`broker.topology`.
        disk_bytes: size of the broker's disk; None when the commands are to find it out.
    """

    host: str = "localhost"
    port: int = 5671
    management: str = "https://localhost:15671"
    credentials: Path = Path("broker/management.json")
    sizes: str = "production"
    disk_bytes: int | None = None


def write_settings(
    folder: Path, broker: BrokerPlace, api_ports: Mapping[str, int], *, watch_port: int = WATCH_PORT
) -> None:
    """Write ``authority.toml``, and ``adapter.toml`` of each agency; again when the broker has another place.

    Args:
        folder: that holds ``authority/`` and ``agencies/``.
        broker: see there.
        api_ports: port of each agency's local API, by code.
        watch_port: of the authority's ``/readyz`` and ``/metrics``.
    """
    for code, port in api_ports.items():
        write_whole(folder / "agencies" / code / "adapter.toml", _adapter(code, port, broker).encode())
    write_whole(authority_folder(folder) / "authority.toml", _authority(broker, watch_port).encode())


def _adapter(code: str, port: int, broker: BrokerPlace) -> str:
    return (
        f"# The adapter of {code}. Paths are relative to this file; every setting: docs/api.md.\n"
        f'agency = "{code}"\n\n'
        f"[api]\nport = {port}\n\n"
        f'[broker]\nnodes = ["{broker.host}:{broker.port}"]\n'
    )


def _authority(broker: BrokerPlace, watch_port: int) -> str:
    disk = f"disk_bytes = {broker.disk_bytes}\n" if broker.disk_bytes is not None else ""
    return (
        "# The central authority. Paths are relative to this file.\n"
        f"[watch]\nport = {watch_port}\n\n"
        "[broker]\n"
        f'addresses = ["{broker.host}:{broker.port}"]\n'
        f'management = "{broker.management}"\n'
        f'credentials = "{broker.credentials}"\n'
        f'sizes = "{broker.sizes}"\n'
        f"replicas = 1\n{disk}"
    )
