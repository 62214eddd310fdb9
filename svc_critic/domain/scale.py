"""Turning measured values into scores."""

from __future__ import annotations


def ramp(value: float, worst: float, best: float) -> float:
    """The score in [0, 1] of a value: 0 at `worst` and beyond, 1 at `best` and beyond, a line between.

    `worst` may be the larger of the two, for values that should be small.
    """
    if worst == best:
        raise ValueError("worst and best must differ")
    return min(1.0, max(0.0, (value - worst) / (best - worst)))


def at_least(value: float, needed: float) -> float:
    """The score of a demand that is met or not: 1 when met, else the part of it that is there, below every bar."""
    if value >= needed:
        return 1.0
    return 0.5 * max(0.0, value) / needed
