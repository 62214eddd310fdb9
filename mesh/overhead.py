"""Tells the mesh's own time from the time of the providers behind it."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from mesh.telemetry import histogram

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mesh.clock import Clock


class OverheadTimer:
    """The time of one piece of work, of which `upstream_s` seconds were spent waiting for providers."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._started = clock.monotonic()
        self.upstream_s = 0.0

    @property
    def overhead_s(self) -> float:
        """Seconds so far without those of providers."""
        return max(self._clock.monotonic() - self._started - self.upstream_s, 0.0)


_TIMER: ContextVar[OverheadTimer | None] = ContextVar("soma_overhead", default=None)


@contextmanager
def measure_overhead(clock: Clock, service: str, method: str) -> Iterator[OverheadTimer]:
    """Measure the enclosed work, and observe its overhead as `mesh_overhead_seconds` when it is done."""
    overhead_timer = OverheadTimer(clock)
    token = _TIMER.set(overhead_timer)
    try:
        yield overhead_timer
    finally:
        _TIMER.reset(token)
        seconds = histogram(
            "mesh_overhead_seconds", "Time spent in the mesh, providers excluded.", ("service", "method")
        )
        seconds.labels(service, method).observe(overhead_timer.overhead_s)


@contextmanager
def upstream(clock: Clock) -> Iterator[None]:
    """Count the enclosed time as a provider's; waits that overlap count each."""
    overhead_timer, started = _TIMER.get(), clock.monotonic()
    try:
        yield
    finally:
        if overhead_timer is not None:
            overhead_timer.upstream_s += clock.monotonic() - started
