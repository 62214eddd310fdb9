"""How long to wait before a crashed program starts again."""

from __future__ import annotations

from dataclasses import dataclass

_EXPONENT_CAP = 20


@dataclass(frozen=True)
class Backoff:
    """Doubles from `first_s` to `longest_s`; a program that ran `healthy_after_s` seconds counts as well again."""

    first_s: float = 0.2
    longest_s: float = 15.0
    healthy_after_s: float = 30.0

    def delay_s(self, failures: int) -> float:
        """Seconds to wait after this many failures in a row, from 1."""
        return min(self.first_s * 2.0 ** min(failures - 1, _EXPONENT_CAP), self.longest_s)
