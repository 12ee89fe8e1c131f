"""For whoever watches the authority's machine: is it alive, can it work, how is it doing. No token, no content."""

import json
from collections.abc import Iterable
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from broker import outbox
from broker.session import SessionState
from gateway import journal_gaps
from gateway.duty import Duty, DutyState
from gateway.log_keeper import Standing, log_standing
from gateway.log_routes import log_routes
from gateway.service import Authority
from gateway.store.tables import answers, dead_letters
from gateway.verdict import Verdict

OK, NOT_READY = 200, 503
WAITING_TOO_LONG_MS = 60_000


class Watch(Collector):
    """The state of one process of the authority, and the store's figures, computed when they are asked for."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def app(self) -> Starlette:
        """``/healthz``, ``/readyz``, ``/metrics``, and the log."""
        return Starlette(
            routes=[
                Route("/healthz", self._healthz),
                Route("/readyz", self._readyz),
                Route("/metrics", self._metrics),
                *log_routes(self._authority.store.readings),
            ]
        )

    def checks(self) -> list[dict[str, Any]]:
        """Everything that must be in order; ``detail`` says what is not."""
        authority = self._authority
        found = [duty_check(duty) for duty in authority.duties]
        session = authority.audit_duty.session
        absent = ", ".join(session.absent) if session is not None else ""
        found.append(
            {"name": "dead_letter_queues", "ok": not absent, "detail": f"absent: {absent}" if absent else None}
        )
        problem = authority.directory.problem
        state = authority.directory.current.state(authority.clock.now())
        found.append(
            {
                "name": "directory",
                "ok": problem is None and state in {"current", "ageing"},
                "detail": f"version {authority.directory.current.version}, {state}"
                + (f", {problem.code}" if problem is not None else ""),
            }
        )
        try:
            waiting, unjudged = self._count_waiting(), self._count_unjudged()
            _, gaps = self._count_gaps()
            behind_ms = self._count_behind()
            apart = authority.apart.count()
        except SQLAlchemyError as error:
            found.append({"name": "store", "ok": False, "detail": type(error).__name__})
        else:
            found.append({"name": "store", "ok": True, "detail": None})
            found.append(
                {"name": "journal_gaps", "ok": not gaps, "detail": f"{gaps} to be looked at" if gaps else None}
            )
            detail = f"{behind_ms // 1000} s behind the journal" if behind_ms > WAITING_TOO_LONG_MS else None
            found.append({"name": "log_current", "ok": detail is None, "detail": detail})
            detail = f"{waiting} dead letters wait for the journal" if waiting else None
            found.append({"name": "dead_letters_judged", "ok": not waiting, "detail": detail})
            detail = f"{unjudged} could not be judged, {apart} could not be stored" if unjudged or apart else None
            found.append({"name": "dead_letters_readable", "ok": detail is None, "detail": detail})
        return found

    def collect(self) -> Iterable[Metric]:
        """Called by the registry at each scrape."""
        authority = self._authority
        for name, value in (
            ("tarasul_journal_recorded", authority.reader.recorded),
            ("tarasul_log_tokens_taken", authority.keeper.taken),
            ("tarasul_dead_letters_stored", authority.audit.stored),
            ("tarasul_dead_letters_judged", authority.audit.judged),
        ):
            yield CounterMetricFamily(name, "Since the start of the process.", value=value)
        yield GaugeMetricFamily(
            "tarasul_journal_offset", "Of the newest message recorded.", value=authority.reader.position.offset or 0
        )
        duties = GaugeMetricFamily("tarasul_duty_state", "1 for the state it is in.", labels=["duty", "state"])
        for duty in authority.duties:
            for state in DutyState:
                duties.add_metric([duty.lease.name, state.value], float(duty.state is state))
        yield duties
        readable = GaugeMetricFamily("tarasul_store_readable", "1 while the store answers.")
        try:
            stored = list(self._stored())
        except SQLAlchemyError:
            readable.add_metric([], 0.0)
            yield readable
        else:
            readable.add_metric([], 1.0)
            yield from (readable, *stored)

    def _stored(self) -> Iterable[Metric]:
        verdicts = GaugeMetricFamily("tarasul_dead_letters", "In the store, by verdict.", labels=["verdict"])
        waiting = GaugeMetricFamily("tarasul_answers_waiting", "Answers to be published.", labels=["lane"])
        with self._authority.store.readings.connect() as connection:
            for verdict, count in connection.execute(
                select(dead_letters.c.verdict, func.count()).group_by(dead_letters.c.verdict)
            ):
                verdicts.add_metric([verdict], count)
            for depth in outbox.depths(connection, answers):
                waiting.add_metric([depth.lane], depth.waiting)
        yield verdicts
        yield waiting
        with self._authority.store.readings.connect() as connection:
            standing = log_standing(connection)
        yield GaugeMetricFamily("tarasul_log_size", "Leaves of the log.", value=standing.leaves)
        yield GaugeMetricFamily("tarasul_log_signed_size", "Of the newest checkpoint.", value=standing.signed)
        yield GaugeMetricFamily(
            "tarasul_log_behind_seconds",
            "For how long the oldest message that the log has not taken has been in the journal.",
            value=self._behind_ms(standing) / 1000,
        )
        gaps, unacknowledged = self._count_gaps()
        yield GaugeMetricFamily("tarasul_journal_gaps", "Where the stream did not go on.", value=gaps)
        yield GaugeMetricFamily(
            "tarasul_journal_gaps_unacknowledged", "Those that nobody has acknowledged.", value=unacknowledged
        )

    def _behind_ms(self, standing: Standing) -> int:
        if standing.waiting_since is None:
            return 0
        return max(0, self._authority.clock.unix_ms() - standing.waiting_since)

    def _count_gaps(self) -> tuple[int, int]:
        with self._authority.store.readings.connect() as connection:
            return journal_gaps.count(connection)

    def _count_behind(self) -> int:
        with self._authority.store.readings.connect() as connection:
            return self._behind_ms(log_standing(connection))

    def _count_waiting(self) -> int:
        """Entries that have waited for the journal for longer than it takes to read."""
        before = self._authority.clock.unix_ms() - WAITING_TOO_LONG_MS
        with self._authority.store.readings.connect() as connection:
            statement = (
                select(func.count())
                .select_from(dead_letters)
                .where(dead_letters.c.verdict == Verdict.WAITING.value, dead_letters.c.received_at < before)
            )
            return connection.execute(statement).scalar() or 0

    def _count_unjudged(self) -> int:
        statement = select(func.count()).where(dead_letters.c.verdict == Verdict.UNJUDGED.value)
        with self._authority.store.readings.connect() as connection:
            return connection.execute(statement).scalar() or 0

    async def _healthz(self, _request: Request) -> Response:
        return Response('{"live":true}', media_type="application/json")

    async def _readyz(self, _request: Request) -> Response:
        checks = self.checks()
        ready = all(check["ok"] for check in checks)
        content = json.dumps({"ready": ready, "checks": checks}, ensure_ascii=False)
        return Response(content, OK if ready else NOT_READY, media_type="application/json")

    async def _metrics(self, _request: Request) -> Response:
        return Response(generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


def duty_check(duty: Duty) -> dict[str, Any]:
    """Whether ``duty`` is done: by this process, or by another."""
    session = duty.session
    if duty.problem is not None:
        return {"name": duty.lease.name, "ok": False, "detail": f"{duty.state.value}: {duty.problem}"}
    if session is not None:
        ready = session.state is SessionState.READY
        detail = None if ready else f"{session.state.value}: {session.last_error or 'not yet'}"
        return {"name": duty.lease.name, "ok": ready, "detail": detail}
    working = duty.state is DutyState.WORKING
    in_order = working or duty.state is DutyState.STANDBY
    return {"name": duty.lease.name, "ok": in_order, "detail": None if working else duty.state.value}
