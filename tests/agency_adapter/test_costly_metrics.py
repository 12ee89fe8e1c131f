"""Metrics of a large store: whoever asks for them again and again keeps no letter waiting."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.core import GaugeMetricFamily, Metric
from sqlalchemy import Engine

from agency_adapter.metrics import LONG_SECONDS, REST, Metrics
from agency_adapter.store.opening import open_agency_store
from broker.clock import Clock
from broker.session import SessionState


class TurnedClock(Clock):
    """A clock whose monotonic time the test turns."""

    at = 0.0

    def monotonic(self) -> float:
        return self.at


@pytest.fixture
def readings(tmp_path: Path) -> Iterator[Engine]:
    store = open_agency_store(tmp_path / "store.db", "MOF")
    yield store.readings
    store.close()


def counting(metrics: Metrics, cpu_seconds: float) -> list[None]:
    """Make counting by state take ``cpu_seconds``; grows by one each time it is done."""
    done: list[None] = []

    def count() -> Iterator[Metric]:
        done.append(None)
        until = time.thread_time() + cpu_seconds
        while time.thread_time() < until:
            pass
        yield GaugeMetricFamily("tarasul_counted", "How often.", value=len(done))

    metrics._states = count  # type: ignore[method-assign]
    return done


def test_counts_that_take_long_are_not_made_again_at_once(readings: Engine) -> None:
    """Whoever may ask for metrics could keep the adapter from its letters."""
    clock = TurnedClock()
    metrics = Metrics("MOF", readings, clock, dict, lambda: SessionState.READY, dict)
    done = counting(metrics, LONG_SECONDS * 1.5)
    assert b"tarasul_counted 1.0" in metrics.exposition()[0]
    clock.at += LONG_SECONDS * REST
    assert b"tarasul_counted 1.0" in metrics.exposition()[0]
    clock.at += LONG_SECONDS * REST
    assert b"tarasul_counted 2.0" in metrics.exposition()[0]
    assert len(done) == 2


def test_counts_that_take_no_time_are_always_those_of_now(readings: Engine) -> None:
    metrics = Metrics("MOF", readings, TurnedClock(), dict, lambda: SessionState.READY, dict)
    counting(metrics, 0)
    assert [f"tarasul_counted {n}.0".encode() in metrics.exposition()[0] for n in (1, 2, 3)] == [True] * 3
