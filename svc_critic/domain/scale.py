"""Scores of measured values."""

from __future__ import annotations


def linear_score(value: float, worst: float, best: float) -> float:
    """Returns the score in [0, 1] of a value: 0 at `worst` and beyond, 1 at `best` and beyond, linear between.

    `worst` may be the larger of the two, for values that should be small.
    """
    if worst == best:
        raise ValueError("worst and best must differ")
    return min(1.0, max(0.0, (value - worst) / (best - worst)))


def threshold_score(value: float, minimum: float) -> float:
    """Returns 1 when a value reaches the minimum, else a score below 0.5, so that it fails every threshold."""
    if value >= minimum:
        return 1.0
    return 0.5 * max(0.0, value) / minimum
