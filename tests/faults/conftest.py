"""One private node and the folders of four agencies for all tests of the room; each test finds them empty."""

from collections.abc import Iterator

import pytest

from broker.node import PrivateNode
from tests.faults.bed import FaultBed

CODES = ("MPW", "MOF", "SAB", "MOI")


@pytest.fixture(scope="session")
def shared_bed(new_node: type[PrivateNode], tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultBed]:
    with FaultBed(tmp_path_factory.mktemp("faults") / "bed", CODES, node_type=new_node) as bed:
        yield bed


@pytest.fixture
def bed(shared_bed: FaultBed) -> Iterator[FaultBed]:
    """The shared bed; whatever a test did to its broker is undone afterwards."""
    yield shared_bed
    shared_bed.restore()
