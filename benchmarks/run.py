"""`make bench`: the product beside bare aio-pika, in interleaved pairs on one broker, as ratios.

Writes ``benchmarks/results/quick.json`` or ``latest.json``. Machines are shared and noisy: believe the median of the
ratios within one run, nothing else.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bare
import http_load
from bed import Bed
from product import TEXT

from agency_adapter.settings import read_settings

HERE = Path(__file__).parent
QUIET_SECONDS = 60
WAITING = 100_000


class Adapter:
    """One adapter process, driven line by line (benchmarks/product.py)."""

    def __init__(self, config: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "product.py"), "--config", str(config)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid
        self._answer()

    def ask(self, **command: Any) -> dict[str, Any]:
        assert self._process.stdin is not None  # noqa: S101 - a pipe was asked for
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        self._process.communicate(timeout=60)

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None  # noqa: S101 - as above
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the adapter ended with {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def product(bed: Bed, sender: Adapter, recipient: Adapter, letters: int) -> dict[str, float]:
    """One run of B; CPU counts both adapters and the broker."""
    beam = bed.node.pid
    before = recipient.ask()["cpu"] + bare.cpu_of(beam)
    run = sender.ask(send=letters, to="MOF")
    cpu = run["cpu"] + recipient.ask()["cpu"] + bare.cpu_of(beam) - before
    return {"per_second": letters / run["seconds"], "cpu_us": cpu / letters * 1e6}


def quartiles(values: list[float]) -> dict[str, float]:
    q1, median, q3 = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    return {"min": min(values), "q1": q1, "median": median, "q3": q3, "max": max(values)}


def resident_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text("ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmRSS")


def git(*arguments: str) -> str:
    return subprocess.run(
        ["/usr/bin/env", "git", *arguments], capture_output=True, text=True, check=False, cwd=HERE
    ).stdout.strip()


def idle_memory(bed: Bed, code: str) -> float:
    """VmRSS of ``tarasul agency run`` after a minute of quiet."""
    with bed.adapter(code) as pid:
        time.sleep(QUIET_SECONDS)
        return resident_mb(pid)


def through_http(bed: Bed, letters: int) -> float:
    """Letters a second when they come through the local API of ``tarasul agency run``."""
    port = read_settings(bed.config("MPW")).api.port
    with bed.adapter("MPW"):
        return http_load.measure(bed.agency("MPW"), port, letters, "MOF", TEXT)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three minutes")
    parser.add_argument("--pairs", type=int)
    parser.add_argument("--letters", type=int, default=5000)
    given = parser.parse_args()
    pairs = given.pairs or (5 if given.quick else 15)
    command = "make bench QUICK=1" if given.quick else "make bench"
    found: list[dict[str, dict[str, float]]] = []
    with tempfile.TemporaryDirectory(prefix="tarasul-bench-") as folder, Bed(Path(folder)) as bed:
        bare.declare(bed.node, "bare")
        sender, recipient = Adapter(bed.config("MPW")), Adapter(bed.config("MOF"))
        product(bed, sender, recipient, 500)
        for number in range(pairs):
            a = bare.measure(bed.node, "bare", bed.bare_tls, given.letters)
            b = product(bed, sender, recipient, given.letters)
            found.append({"a": {"per_second": a["per_second"], "cpu_us": a["cpu_us"]}, "b": b})
            print(
                f"pair {number + 1}/{pairs}: A {a['per_second']:.0f}/s, B {b['per_second']:.0f}/s, "
                f"B/A {b['per_second'] / a['per_second']:.2f}",
                file=sys.stderr,
            )
        paced = sender.ask(rate=50, seconds=10 if given.quick else 60, to="MOF")["latencies_ms"]
        sender.close()
        http = through_http(bed, given.letters)
        recipient.close()
        sender = Adapter(bed.config("MPW"))
        sender.ask(accept=WAITING, to="MOF")
        time.sleep(0 if given.quick else QUIET_SECONDS)
        loaded = resident_mb(sender.pid)
        sender.close()
        idle = idle_memory(bed, "SAB")
    paced.sort()
    ratios = [pair["b"]["per_second"] / pair["a"]["per_second"] for pair in found]
    result = {
        "commit": git("rev-parse", "HEAD"),
        "dirty": bool(git("status", "--porcelain")),
        "command": command,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cores": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()},
        "broker": bed.node.version,
        "journal_reader": False,
        "ratio": quartiles(ratios),
        "pairs": [{"a": pair["a"]["per_second"], "b": pair["b"]["per_second"]} for pair in found],
        "through_http": {
            "per_second": http,
            "ratio": http / statistics.median(pair["a"]["per_second"] for pair in found),
        },
        "cpu_us_per_letter": {side: statistics.median(pair[side]["cpu_us"] for pair in found) for side in ("a", "b")},
        "latency_ms": {"p50": paced[len(paced) // 2], "p99": paced[int(len(paced) * 0.99)]},
        "memory_mb": {"idle": idle, "waiting_100k": loaded},
    }
    file = HERE / "results" / ("quick.json" if given.quick else "latest.json")
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    shown = ("ratio", "through_http", "cpu_us_per_letter", "latency_ms", "memory_mb")
    print(json.dumps({name: result[name] for name in shown}, indent=2))


if __name__ == "__main__":
    main()
