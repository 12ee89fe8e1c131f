"""`make bench`: how fast the product is, beside bare aio-pika and beside itself, as ratios within one run.

Writes ``benchmarks/results/quick.json`` or ``latest.json``. A part of the latter can be measured again alone; it says
then of itself which commit and when. Machines are shared and noisy: believe the median of the ratios within one run,
nothing else.
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
QUICK, LATEST = (HERE / "results" / name for name in ("quick.json", "latest.json"))
SHOWN = ("ratio", "through_http", "cpu_us_per_letter", "latency_ms", "memory_mb", "fleet", "journal", "lanes")


def git(*arguments: str) -> str:
    return subprocess.run(
        ["/usr/bin/env", "git", *arguments], capture_output=True, text=True, check=False, cwd=HERE
    ).stdout.strip()


def provenance() -> dict[str, Any]:
    """What was measured, and when."""
    return {
        "commit": git("rev-parse", "HEAD"),
        # Results that stand beside the code are no change of it.
        "dirty": bool(git("status", "--porcelain", "--", ":/", ":(exclude,top)benchmarks/results")),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two agencies only, in three minutes")
    parser.add_argument("--pairs", type=int, help="of runs of A and B (5 when quick, otherwise 15)")
    parser.add_argument("--letters", type=int, default=5000, help="in each run")
    parser.add_argument("--only", choices=("pairs", "fleet", "journal", "lanes"), help="measure and print one part")
    parser.add_argument("--write", action="store_true", help="put that part into latest.json, with its commit and date")
    given = parser.parse_args()
    if given.write and given.only in {None, "pairs"}:
        parser.error("--write is for one of the parts fleet, journal and lanes")
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
            part = provenance() | parts[given.only](Path(folder))
            print(json.dumps(part, indent=2))
            if given.write:
                whole = json.loads(LATEST.read_text("utf-8")) | {given.only: part}
                LATEST.write_text(json.dumps(whole, indent=2) + "\n", "utf-8")
            return
        result: dict[str, Any] = provenance() | {
            "command": "make bench QUICK=1" if given.quick else "make bench",
            "machine": {"cores": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()},
        }
        result |= parts.pop("pairs")(Path(folder) / "pairs")
        if not given.quick:
            result |= {name: measure(Path(folder) / name) for name, measure in parts.items()}
    file = QUICK if given.quick else LATEST
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    print(json.dumps({name: result[name] for name in SHOWN if name in result}, indent=2))


if __name__ == "__main__":
    main()
