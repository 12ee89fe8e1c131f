"""One private node, the folders of three agencies and an authority for the room; each test finds them empty."""

from collections.abc import Iterator

import pytest

from broker.node import PrivateNode
from tests.authority.bed import CODES, AuthorityBed


@pytest.fixture(scope="session")
def shared_bed(new_node: type[PrivateNode], tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuthorityBed]:
    with AuthorityBed(tmp_path_factory.mktemp("authority") / "bed", CODES, node_type=new_node) as bed:
        yield bed


@pytest.fixture
def bed(shared_bed: AuthorityBed) -> Iterator[AuthorityBed]:
    """The shared bed; whatever a test did to it is undone afterwards."""
    yield shared_bed
    shared_bed.restore()
