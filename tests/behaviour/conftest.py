"""Fixtures: a government in a temporary folder, and its adapters."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.behaviour.bed import Bed, Party


@pytest.fixture
async def bed(tmp_path: Path) -> AsyncIterator[Bed]:
    made = Bed(tmp_path)
    await made.publish_directory()
    yield made
    await made.close()


@pytest.fixture
async def mpw(bed: Bed) -> Party:
    return bed.open("MPW")


@pytest.fixture
async def mof(bed: Bed) -> Party:
    return bed.open("MOF")


@pytest.fixture
async def sab(bed: Bed) -> Party:
    return bed.open("SAB")
