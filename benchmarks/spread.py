"""Several measurements of one thing, and how far they lie apart."""

import statistics
from collections.abc import Sequence


def spread(values: Sequence[float]) -> dict[str, float]:
    """Least, quartiles and greatest."""
    q1, median, q3 = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else [*values] * 3
    return {"min": min(values), "q1": q1, "median": median, "q3": q3, "max": max(values)}


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which ``share`` (0 to 1) of ``values`` lie."""
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]
