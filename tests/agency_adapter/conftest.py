"""What the tests of an adapter share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from tests.support.running_adapter import RunningAdapter, running_adapter


@pytest.fixture(scope="module")
def adapter_log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What the adapter of a module logs; it looks for its broker between the tests too, when no output is captured."""
    file = tmp_path_factory.mktemp("agencies") / "adapter.log"
    with file.open("w", encoding="utf-8") as log:
        structlog.configure(logger_factory=structlog.PrintLoggerFactory(log))
        yield file
        structlog.reset_defaults()


@pytest.fixture(scope="module")
def adapter(adapter_log: Path) -> Iterator[RunningAdapter]:
    """One running adapter for the tests of a module that only ask it."""
    with running_adapter(adapter_log.parent) as running:
        yield running
