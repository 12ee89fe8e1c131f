"""`make bench`: how fast the product is, beside bare aio-pika and beside itself, as ratios within one run.

Writes ``benchmarks/results/quick.json`` or ``latest.json``. Machines are shared and noisy: believe the median of the
ratios within one run, nothing else.
"""

import argparse
import json
import os
import platform
import subprocess
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fleet
import journal
import lanes
import pairs

HERE = Path(__file__).parent
SHOWN = ("ratio", "through_http", "cpu_us_per_letter", "latency_ms", "memory_mb", "fleet", "journal", "lanes")


def git(*arguments: str) -> str:
    return subprocess.run(
        ["/usr/bin/env", "git", *arguments], capture_output=True, text=True, check=False, cwd=HERE
    ).stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two agencies only, in three minutes")
    parser.add_argument("--pairs", type=int, help="of runs of A and B (5 when quick, otherwise 15)")
    parser.add_argument("--letters", type=int, default=5000, help="in each run")
    parser.add_argument("--only", choices=("pairs", "fleet", "journal", "lanes"), help="print one part, write nothing")
    given = parser.parse_args()
    parts: dict[str, Callable[[Path], dict[str, Any]]] = {
        "pairs": lambda folder: pairs.measure(
            folder, given.pairs or (5 if given.quick else 15), given.letters, quick=given.quick
        ),
        "fleet": lambda folder: fleet.measure(folder, given.letters),
        "journal": lambda folder: journal.measure(folder, given.letters),
        "lanes": lanes.measure,
    }
    with tempfile.TemporaryDirectory(prefix="tarasul-bench-") as folder:
        if given.only is not None:
            print(json.dumps(parts[given.only](Path(folder)), indent=2))
            return
        result: dict[str, Any] = {
            "commit": git("rev-parse", "HEAD"),
            "dirty": bool(git("status", "--porcelain")),
            "command": "make bench QUICK=1" if given.quick else "make bench",
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": {"cores": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()},
        }
        result |= parts.pop("pairs")(Path(folder) / "pairs")
        if not given.quick:
            result |= {name: measure(Path(folder) / name) for name, measure in parts.items()}
    file = HERE / "results" / ("quick.json" if given.quick else "latest.json")
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    print(json.dumps({name: result[name] for name in SHOWN if name in result}, indent=2))


if __name__ == "__main__":
    main()
