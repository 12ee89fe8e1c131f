"""Two agencies: the product (B) beside bare aio-pika round trips (A), in interleaved pairs on one broker."""

import statistics
import sys
import time
from pathlib import Path
from typing import Any

import bare
import http_load
from bed import QUIET_SECONDS, Bed, Recorder
from host import Host, resident_mb
from product import TEXT
from spread import percentile, spread

from agency_adapter.settings import read_settings

SENDER, RECIPIENT, IDLE = CODES = ("MPW", "MOF", "SAB")
WAITING = 100_000
WARMING = 500
RATE = 50


def product(bed: Bed, sender: Host, recipient: Host, recorder: Recorder, letters: int) -> dict[str, float]:
    """One run of B, until the last letter is delivered and the journal of all is recorded.

    CPU counts both adapters, the broker and the authority.
    """

    def cpu() -> float:
        return sender.cpu + recipient.cpu + recorder.cpu + bare.cpu_of(bed.node.pid)

    before, began = cpu(), time.perf_counter()
    sender.ask("send", pairs=[(SENDER, RECIPIENT)] * letters)
    delivered = time.perf_counter() - began
    recorded = recorder.recorded_at() - began
    return {
        "per_second": letters / max(delivered, recorded),
        "delivered_per_second": letters / delivered,
        "cpu_us": (cpu() - before) / letters * 1e6,
    }


def through_http(bed: Bed, letters: int) -> float:
    """Letters a second when they come through the local API of ``tarasul agency run``."""
    port = read_settings(bed.stage.config(SENDER)).api.port
    with bed.adapters(SENDER):
        return http_load.measure(bed.stage.agency(SENDER), port, letters, RECIPIENT, TEXT)


def measure(folder: Path, pairs: int, letters: int, *, quick: bool) -> dict[str, Any]:
    """The figures of two agencies; ``quick`` in three minutes."""
    found: list[dict[str, dict[str, float]]] = []
    with Bed(folder, CODES) as bed:
        bare.declare(bed.node, "bare")
        with bed.authority() as recorder, Host(bed.configs(RECIPIENT)) as recipient:
            with Host(bed.configs(SENDER)) as sender:
                product(bed, sender, recipient, recorder, WARMING)
                for number in range(pairs):
                    a = bare.measure(bed.node, "bare", bed.bare_tls, letters)
                    b = product(bed, sender, recipient, recorder, letters)
                    found.append({"a": a, "b": b})
                    print(
                        f"pair {number + 1}/{pairs}: A {a['per_second']:.0f}/s, B {b['per_second']:.0f}/s, "
                        f"B/A {b['per_second'] / a['per_second']:.2f}",
                        file=sys.stderr,
                    )
                paced = sender.ask(
                    "pace",
                    sender=SENDER,
                    recipient=RECIPIENT,
                    rate=RATE,
                    seconds=10 if quick else 60,
                    urgency="ROUTINE",
                )["latencies_ms"]
            http = through_http(bed, letters)
        with Host(bed.configs(SENDER)) as sender:
            sender.ask("accept", pairs=[(SENDER, RECIPIENT)] * WAITING)
            time.sleep(0 if quick else QUIET_SECONDS)
            loaded = resident_mb(sender.pid)
        idle = [bed.idle_mb(IDLE) for _ in range(1 if quick else 5)]
        broker = bed.node.version
    yardstick = statistics.median(pair["a"]["per_second"] for pair in found)
    return {
        "broker": broker,
        "journal_reader": True,
        "ratio": spread([pair["b"]["per_second"] / pair["a"]["per_second"] for pair in found]),
        "ratio_delivered": spread([pair["b"]["delivered_per_second"] / pair["a"]["per_second"] for pair in found]),
        "pairs": [{side: pair[side]["per_second"] for side in ("a", "b")} for pair in found],
        "through_http": {"per_second": http, "ratio": http / yardstick},
        "cpu_us_per_letter": {side: statistics.median(pair[side]["cpu_us"] for pair in found) for side in ("a", "b")},
        "latency_ms": {"p50": percentile(paced, 0.5), "p99": percentile(paced, 0.99)},
        "memory_mb": {"idle": statistics.median(idle), "idle_runs": idle, "waiting_100k": loaded},
    }
