"""Finished demonstrations, for all tests that look at what they printed and left."""

import pytest

from broker.node_installation import Installation
from tests.deploy.playing import Played, play_once


@pytest.fixture(scope="session")
def finished(rabbitmq: Installation, tmp_path_factory: pytest.TempPathFactory) -> Played:
    """`tarasul demo run … --once --few`, over what an earlier demonstration left there."""
    played = play_once(tmp_path_factory.mktemp("finished"), "--few")
    assert f"RabbitMQ {rabbitmq.version}" in played.out, played.out
    return played


@pytest.fixture(scope="session")
def finished_fleet(rabbitmq: Installation, tmp_path_factory: pytest.TempPathFactory) -> Played:
    """`tarasul demo run … --once`: all 52."""
    played = play_once(tmp_path_factory.mktemp("fleet"))
    assert f"RabbitMQ {rabbitmq.version}" in played.out, played.out
    return played
