"""Samples, their percentiles, and how a figure is shown."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Figure:
    """One figure with its unit, and its ratio to the yardstick named by `against`."""

    name: str
    value: float
    unit: str
    against: str = ""
    ratio: float | None = None
    goal: str = ""


def percentile(samples: Sequence[float], share: float) -> float:
    """The nearest-rank percentile of samples, `share` in (0, 1]."""
    ordered = sorted(samples)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def latencies(name: str, seconds: Sequence[float], yardstick: Sequence[float], goal: str = "") -> list[Figure]:
    """p50, p95 and p99 in milliseconds, with their ratios to a yardstick's."""
    return [
        Figure(
            f"{name} p{round(share * 100)}",
            percentile(seconds, share) * 1000,
            "ms",
            "gRPC echo",
            percentile(seconds, share) / percentile(yardstick, share),
            goal if share == 0.95 else "",
        )
        for share in (0.5, 0.95, 0.99)
    ]
