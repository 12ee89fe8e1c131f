"""Founded authorities that tests only look at, and a broker for the topology commands."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.node import PrivateNode
from broker.node_identity import free_ports
from gateway.bootstrap import bootstrap, node_tls
from gateway.settings_files import BrokerPlace
from tests.gateway.founding import CODES, NOW, found
from tests.gateway.topology_bed import Terminal, TopologyBed


@pytest.fixture(scope="session")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority of three agencies; only to be looked at."""
    return found(tmp_path_factory.mktemp("founded") / "authority-of-three")


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    """An authority of one agency, to be changed."""
    return found(tmp_path / "authority-of-one", ("MPW",))


@pytest.fixture
def terminal(capsys: pytest.CaptureFixture[str]) -> Terminal:
    """Carries out commands in this process."""
    return Terminal(capsys)


@pytest.fixture(scope="session")
def topology_bed(new_node: type[PrivateNode], tmp_path_factory: pytest.TempPathFactory) -> Iterator[TopologyBed]:
    """An authority of three agencies beside a running broker."""
    folder = tmp_path_factory.mktemp("topology") / "authority"
    amqps, management = free_ports(2)
    place = BrokerPlace(
        port=amqps,
        management=f"http://127.0.0.1:{management}",
        credentials=Path("../broker-node/management.json"),
        sizes="trial",
        disk_bytes=10**12,
    )
    bootstrap(folder, CODES, NOW, broker=place, api_ports=range(1, len(CODES) + 1))
    with new_node(
        directory=folder / "broker-node", tls=node_tls(folder), amqps_port=amqps, management_port=management
    ) as node:
        yield TopologyBed(folder, node)
