"""The authority's store on both databases."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.store.opening import GatewayStore, open_gateway_store
from tests.support.postgres import Postgres

DATABASES = ("sqlite", "postgresql")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with Postgres() as running:
        yield running


@pytest.fixture(params=DATABASES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """What a settings file calls an empty store, on each database."""
    if request.param == "sqlite":
        return str(tmp_path / "authority.db")
    running: Postgres = request.getfixturevalue("postgres")
    return running.new_database()


@pytest.fixture
def store(place: str) -> Iterator[GatewayStore]:
    opened = open_gateway_store(place, Path())
    yield opened
    opened.close()
