"""The two lanes: how long an urgent letter takes while circulars storm to everybody, beside a quiet minute."""

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import fleet
from bed import Bed
from host import Host
from spread import percentile, spread

RUNS = 5
RATE = 20
SECONDS = 20
CIRCULARS = 60
URGENT = {"sender": fleet.SENDER, "recipient": fleet.RECIPIENT, "rate": RATE, "seconds": SECONDS, "urgency": "URGENT"}


def measure(folder: Path) -> dict[str, Any]:
    """p99 of urgent letters, milliseconds; a storm is CIRCULARS circulars to 51 at once."""
    quiet: list[float] = []
    storm: list[float] = []
    alone = (fleet.SENDER, fleet.RECIPIENT, fleet.ISSUER)
    others = [code for code in fleet.CODES if code not in alone]
    with Bed(folder, fleet.CODES) as bed, bed.authority(), ExitStack() as running:
        sender, _recipient, issuer = (running.enter_context(Host(bed.configs(code))) for code in alone)
        fleet.hosted(bed, running, others, fleet.HOSTS)
        recipients = [code for code in fleet.CODES if code != fleet.ISSUER]
        for _ in range(RUNS):
            quiet.append(percentile(sender.ask("pace", **URGENT)["latencies_ms"], 0.99))
            issuer.begin("storm", sender=fleet.ISSUER, recipients=recipients, circulars=CIRCULARS)
            storm.append(percentile(sender.ask("pace", **URGENT)["latencies_ms"], 0.99))
            seconds = issuer.result()["seconds"]
            print(f"urgent p99: quiet {quiet[-1]:.0f} ms, storm {storm[-1]:.0f} ms ({seconds:.0f} s)", file=sys.stderr)
    return {
        "quiet_p99_ms": spread(quiet),
        "storm_p99_ms": spread(storm),
        "ratio": spread([under / at_rest for under, at_rest in zip(storm, quiet, strict=True)]),
    }
