"""The authority's journal reader on one core: how fast it records what has gathered while it was away."""

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import fleet
from bed import Bed
from spread import spread

RUNS = 5


def measure(folder: Path, letters: int) -> dict[str, Any]:
    """Letters (each with its receipt) recorded a second, beside the letters a second of two agencies.

    The reader starts when all has been delivered; the clock begins with its first record.
    """
    ratios: list[float] = []
    reader: list[float] = []
    with Bed(folder, (fleet.SENDER, fleet.RECIPIENT)) as bed:
        for _ in range(RUNS):
            with bed.authority() as recorder:
                pair = fleet.two(bed, recorder, letters)
                recorded = recorder.offset()
            with ExitStack() as running:
                hosts = fleet.hosted(bed, running, (fleet.SENDER, fleet.RECIPIENT), 2)
                hosts[fleet.SENDER].ask("send", pairs=[(fleet.SENDER, fleet.RECIPIENT)] * letters)
            with bed.authority(cores={0}) as recorder:
                began = recorder.first_after(recorded)
                reader.append(letters / (recorder.recorded_at() - began))
            ratios.append(reader[-1] / pair)
            print(f"two {pair:.0f}/s, journal reader {reader[-1]:.0f}/s", file=sys.stderr)
    return {"per_second": spread(reader), "ratio": spread(ratios)}
