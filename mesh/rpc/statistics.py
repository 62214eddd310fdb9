"""How a server's calls went lately, and how it tells the gateway, which judges it by them."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mesh.clock import Clock

HEADER = "soma-calls"
"""Response header of `grpc.health.v1` Check for the whole server: `count=…;p95=…;errors=…;unavailable=…`."""
WINDOW_S = 60.0
MAX_CALLS = 2_000
_UNAVAILABLE = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED"})
"""Codes that a circuit breaker counts: no answer in time, or no one to give it."""
_ERRORS = frozenset({"INTERNAL", "UNKNOWN", "DATA_LOSS"}) | _UNAVAILABLE


@dataclass(frozen=True)
class CallStatistics:
    """The calls of the last minute: how many, the 95th percentile of their seconds, and shares of failures.

    `unavailable` is the share that a circuit breaker would count; `errors` is the share of all failures of the server.
    """

    count: int = 0
    p95_s: float = 0.0
    errors: float = 0.0
    unavailable: float = 0.0

    def header(self) -> str:
        """The header's value."""
        return f"count={self.count};p95={self.p95_s:.6g};errors={self.errors:.6g};unavailable={self.unavailable:.6g}"

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> CallStatistics | None:
        """What a server said of its calls; None when it said nothing that can be understood."""
        try:
            fields = dict(part.split("=", 1) for part in metadata[HEADER].split(";"))
            statistics = cls(
                int(fields["count"]), float(fields["p95"]), float(fields["errors"]), float(fields["unavailable"])
            )
        except (KeyError, ValueError):
            return None
        return (
            statistics
            if all(map(math.isfinite, (statistics.p95_s, statistics.errors, statistics.unavailable)))
            else None
        )


class RecentCalls:
    """The calls of the last minute, at most 2,000 of them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._calls: deque[tuple[float, float, str]] = deque(maxlen=MAX_CALLS)

    def add(self, seconds: float, code: str) -> None:
        """Take in a call that ended now with a gRPC code."""
        self._calls.append((self._clock.monotonic(), seconds, code))

    def statistics(self) -> CallStatistics:
        """How they went."""
        since = self._clock.monotonic() - WINDOW_S
        while self._calls and self._calls[0][0] < since:
            self._calls.popleft()
        count = len(self._calls)
        if not count:
            return CallStatistics()
        ordered = sorted(seconds for _, seconds, _ in self._calls)
        codes = [code for _, _, code in self._calls]
        return CallStatistics(
            count=count,
            p95_s=ordered[max(0, math.ceil(0.95 * count) - 1)],
            errors=sum(code in _ERRORS for code in codes) / count,
            unavailable=sum(code in _UNAVAILABLE for code in codes) / count,
        )
