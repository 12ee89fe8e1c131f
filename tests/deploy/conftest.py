"""Finished demonstrations, for all tests that look at what they printed and left."""

import pytest

from tests.deploy.playing import Played, play_once


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """`tarasul demo run … --once --few`, over what an earlier demonstration left there."""
    return play_once(tmp_path_factory.mktemp("finished"), "--few")


@pytest.fixture(scope="session")
def finished_fleet(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """`tarasul demo run … --once`: all 52."""
    return play_once(tmp_path_factory.mktemp("fleet"))
