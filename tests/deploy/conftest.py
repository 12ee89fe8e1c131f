"""One finished demonstration, for all tests that look at what it printed and left."""

import pytest

from tests.deploy.playing import Played, play_once


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """`tarasul demo run … --once`, over what an earlier demonstration left there."""
    return play_once(tmp_path_factory.mktemp("finished"))
