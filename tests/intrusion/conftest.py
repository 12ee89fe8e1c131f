"""One broker and the folders of three agencies for the whole room; SAB's account is in hostile hands."""

from collections.abc import Iterator

import pytest

from broker.node import PrivateNode
from tests.intrusion.siege import CODES, intruder
from tests.support.adapters import Bed
from tests.support.raw_client import RawClient


@pytest.fixture(scope="session")
def bed(new_node: type[PrivateNode], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    with Bed(tmp_path_factory.mktemp("intrusion") / "bed", CODES, node_type=new_node) as bed:
        yield bed


@pytest.fixture
def sab(bed: Bed) -> Iterator[RawClient]:
    """A raw client with SAB's real account."""
    with intruder(bed) as client:
        yield client
