"""What the tests of an adapter share."""

from collections.abc import Iterator

import pytest

from tests.support.running_adapter import RunningAdapter, running_adapter


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAdapter]:
    """One running adapter for the tests of a module that only ask it."""
    with running_adapter(tmp_path_factory.mktemp("agencies")) as running:
        yield running
