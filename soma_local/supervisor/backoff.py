"""The backoff of restarts."""

from __future__ import annotations

from dataclasses import dataclass

_MAX_EXPONENT = 20


@dataclass(frozen=True)
class Backoff:
    """Exponential backoff from `initial_s` to `max_s`; reset for a program that ran for `reset_after_s` seconds."""

    initial_s: float = 0.2
    max_s: float = 15.0
    reset_after_s: float = 30.0

    def delay_s(self, failures: int) -> float:
        """Returns the seconds to wait after this many failures in a row, from 1."""
        return min(self.initial_s * 2.0 ** min(failures - 1, _MAX_EXPONENT), self.max_s)
