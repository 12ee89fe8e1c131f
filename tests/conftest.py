"""What holds for all tests: error codes counted, which tests are slow, which need a broker, and what was tested on."""

from pathlib import Path

import pytest
from hypothesis import settings

# A property holds or does not; how long a try takes on a busy machine is no part of it.
settings.register_profile("tarasul", deadline=None)
settings.load_profile("tarasul")

pytest_plugins = ["tests.coverage_of_codes", "tests.broker_tests", "tests.tested_on"]

_HERE = Path(__file__).parent
# Each of them starts, kills and starts again whole processes, many times: minutes, where the others take seconds.
_SLOW = tuple(
    _HERE / place
    for place in (
        "authority",
        "faults",
        "deploy/test_authority_documents.py",
        "deploy/test_demo.py",
        "deploy/test_wheel.py",
    )
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if any(item.path.is_relative_to(place) for place in _SLOW):
            item.add_marker(pytest.mark.slow)
