"""Samples, their percentiles, and what a figure is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SHARES = (0.5, 0.95, 0.99)


@dataclass(frozen=True)
class Figure:
    """One figure with its unit.

    `echo` is its ratio to the bare gRPC echo of the same run, None where the echo has nothing like it; `ratio` its
    ratio to the baseline named by `against`.
    """

    part: str
    name: str
    value: float
    unit: str
    echo: float | None = None
    against: str = ""
    ratio: float | None = None
    goal: str = ""


def percentile(samples: Sequence[float], share: float) -> float:
    """The nearest-rank percentile of samples, `share` in (0, 1]."""
    if not samples:
        raise ValueError("there are no samples")
    ordered = sorted(samples)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def bucket_percentile(buckets: Mapping[float, float], share: float) -> float:
    """The percentile of a cumulative histogram (upper bound → count), linear within its bucket.

    The bound below the last bucket where it lies in the one without a bound; 0 for an empty histogram.
    """
    total = max(buckets.values(), default=0.0)
    rank, bound_below, count_below = share * total, 0.0, 0.0
    for bound, count in sorted(buckets.items()):
        if total and count >= rank:
            if math.isinf(bound):
                return bound_below
            return bound_below + (bound - bound_below) * (rank - count_below) / max(count - count_below, 1e-9)
        bound_below, count_below = bound, count
    return bound_below


def latencies(
    part: str, name: str, seconds: Sequence[float], baseline: Sequence[float], goals: Mapping[float, str] | None = None
) -> list[Figure]:
    """p50, p95 and p99 in milliseconds, each with its ratio to the same percentile of the baseline."""
    return [
        Figure(
            part,
            f"{name}, p{round(share * 100)}",
            percentile(seconds, share) * 1000,
            "ms",
            percentile(seconds, share) / percentile(baseline, share),
            goal=(goals or {}).get(share, ""),
        )
        for share in SHARES
    ]
