"""One broker and the folders of three agencies for the whole room; SAB's account is in hostile hands."""

from collections.abc import Iterator

import pytest

from broker.node_installation import Installation
from tests.intrusion.siege import CODES, intruder
from tests.support.adapters import Bed
from tests.support.raw_client import RawClient


@pytest.fixture(scope="session")
def bed(rabbitmq: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    with Bed(tmp_path_factory.mktemp("intrusion") / "bed", CODES) as bed:
        assert bed.node.installation == rabbitmq
        yield bed


@pytest.fixture
def sab(bed: Bed) -> Iterator[RawClient]:
    """A raw client with SAB's real account."""
    with intruder(bed) as client:
        yield client
