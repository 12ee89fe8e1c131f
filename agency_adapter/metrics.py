"""Prometheus metrics of one adapter, computed when they are read."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector
from sqlalchemy import Engine, func, select

from agency_adapter.store.tables import inbox, incidents, quarantine, receipts_issued, transmissions
from broker import outbox
from broker.clock import Clock
from broker.session import SessionState

LOOP_PROBE_SECONDS = 0.5
LONG_SECONDS = 0.05
"""Of CPU: a count that takes longer is not made again at once."""
REST = 10
"""How many times as long the last count stands."""


class Metrics(Collector):
    """Everything that a dashboard of one adapter shows.

    Args:
        agency: label of every metric, as several adapters may share a process.
        readings: engine on the store.
        clock: for ages.
        live: values held in memory, by metric name; read at each scrape.
        session_state: the session's state now.
        certificate_days: days left of each certificate, by purpose.
    """

    def __init__(
        self,
        agency: str,
        readings: Engine,
        clock: Clock,
        live: Callable[[], dict[str, float]],
        session_state: Callable[[], SessionState],
        certificate_days: Callable[[], dict[str, float]],
    ) -> None:
        self._agency = agency
        self._readings = readings
        self._clock = clock
        self._live = live
        self._session_state = session_state
        self._certificate_days = certificate_days
        self._rests_until = 0.0
        self._last_states: tuple[Metric, ...] = ()
        self.registry = CollectorRegistry()
        self.registry.register(self)
        self.delivered_after = Histogram(
            "tarasul_delivered_after_seconds",
            "From the acceptance of a letter to its stored delivered receipt.",
            ["agency"],
            buckets=(0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 3600, 86400),
            registry=self.registry,
        )
        self.loop_lag = Histogram(
            "tarasul_loop_lag_seconds",
            "How late the event loop runs what is due.",
            ["agency"],
            buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
            registry=self.registry,
        )

    def exposition(self) -> tuple[bytes, str]:
        """The metrics as text, and its media type."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST

    def observe_delivered(self, milliseconds: Iterable[int]) -> None:
        histogram = self.delivered_after.labels(self._agency)
        for value in milliseconds:
            histogram.observe(max(0, value) / 1000)

    async def watch_loop(self) -> None:
        """Measure the loop's lag until cancelled."""
        histogram = self.loop_lag.labels(self._agency)
        with contextlib.suppress(asyncio.CancelledError):
            while True:
                before = time.monotonic()
                await asyncio.sleep(LOOP_PROBE_SECONDS)
                histogram.observe(max(0.0, time.monotonic() - before - LOOP_PROBE_SECONDS))

    def collect(self) -> Iterable[Metric]:
        """Called by the registry at each scrape."""
        yield from self._counted()
        yield from self._depths()
        yield from self._rested_states()
        certificates = GaugeMetricFamily(
            "tarasul_certificate_days_left", "Days until a certificate expires.", labels=["agency", "purpose"]
        )
        for purpose, days in self._certificate_days().items():
            certificates.add_metric([self._agency, purpose], days)
        yield certificates

    def _counted(self) -> Iterable[Metric]:
        for name, value in sorted(self._live().items()):
            counter = CounterMetricFamily(f"tarasul_{name}", "Since the start of the process.", labels=["agency"])
            counter.add_metric([self._agency], value)
            yield counter
        state = GaugeMetricFamily("tarasul_session_state", "1 for the state it is in.", labels=["agency", "state"])
        for known in SessionState:
            state.add_metric([self._agency, known.value], float(self._session_state() is known))
        yield state

    def _depths(self) -> Iterable[Metric]:
        waiting = GaugeMetricFamily(
            "tarasul_outbox_waiting", "Rows that wait to be published.", labels=["agency", "outbox", "lane"]
        )
        oldest = GaugeMetricFamily(
            "tarasul_outbox_oldest_seconds", "Age of the oldest of them.", labels=["agency", "outbox", "lane"]
        )
        now = self._clock.unix_ms()
        with self._readings.connect() as connection:
            for table in (transmissions, receipts_issued, quarantine):
                for depth in outbox.depths(connection, table):
                    labels = [self._agency, table.name, depth.lane]
                    waiting.add_metric(labels, depth.waiting)
                    oldest.add_metric(labels, max(0, now - depth.oldest) / 1000)
        yield waiting
        yield oldest

    def _rested_states(self) -> Iterable[Metric]:
        """The counts by state, which walk whole tables; where that takes long, the last ones for ten times as long.

        Anybody on this machine may ask for metrics, again and again, and letters wait meanwhile.
        """
        now = self._clock.monotonic()
        if now >= self._rests_until:
            began = time.thread_time()
            self._last_states = tuple(self._states())
            took = time.thread_time() - began
            self._rests_until = now + took * REST if took > LONG_SECONDS else 0.0
        return self._last_states

    def _states(self) -> Iterable[Metric]:
        families = (
            ("tarasul_transmissions", "Transmissions by state.", transmissions.c.state),
            ("tarasul_inbox_letters", "Letters in the inbox by state.", inbox.c.state),
            ("tarasul_quarantined", "Messages put aside, by reason.", quarantine.c.reason),
            ("tarasul_incident_notices", "What the authority says about our account, by reason.", incidents.c.reason),
        )
        with self._readings.connect() as connection:
            for name, text, column in families:
                family = GaugeMetricFamily(name, text, labels=["agency", column.name])
                for label, count in connection.execute(select(column, func.count()).group_by(column)):
                    family.add_metric([self._agency, label], count)
                yield family
