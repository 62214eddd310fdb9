"""How much processor time of child processes each tenant used lately, and who used much."""

from __future__ import annotations

import asyncio
import math
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mesh.lru import LruMap

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mesh.clock import Clock
    from mesh.processes.priority import RunningProcess

_LOOK_EVERY_S = 0.25
_TENANTS = 4_096
_COMPARED_EVERY_S = 0.5
_ACTIVE_S = 0.05
_ABOVE_MEAN = 1.1


@dataclass
class _Used:
    seconds: float
    at: float


class ProcessorUse:
    """Seconds of processor time by tenant, of which the earlier ones count less: after `memory_s` 37 % of them.

    A tenant's use is heavy when it is well above the mean of those that used anything, and above `heavy_s` seconds:
    a tenant alone is never heavy. With the defaults, three seconds are a tenth of one core for a long time.
    """

    def __init__(self, clock: Clock, *, heavy_s: float = 3.0, memory_s: float = 30.0) -> None:
        self._clock = clock
        self._heavy_s = heavy_s
        self._memory_s = memory_s
        self._used = LruMap[str, _Used](_TENANTS)
        self._bound_s = math.inf
        self._compared_at = -math.inf

    def note(self, tenant_id: str, seconds: float) -> None:
        """Add seconds to a tenant's use."""
        used = self._used.get_or_create(tenant_id, lambda: _Used(0.0, self._clock.monotonic()))
        used.seconds, used.at = self._left(used) + seconds, self._clock.monotonic()

    def is_heavy(self, tenant_id: str) -> bool:
        """Whether the tenant used much lately, and more than others."""
        used = self._used.get(tenant_id)
        return used is not None and self._left(used) > self._bound()

    @contextmanager
    def metered(self, tenant_id: str, process: RunningProcess) -> Iterator[None]:
        """Note what a process uses in the enclosed block, and lower its priority once its tenant's use is heavy."""
        loop = asyncio.get_running_loop()
        seen = process.processor_s()
        timer: asyncio.TimerHandle

        def look() -> None:
            nonlocal seen, timer
            now = process.processor_s()
            self.note(tenant_id, max(0.0, now - seen))
            seen = max(seen, now)
            if not process.lowered and self.is_heavy(tenant_id):
                process.lower()
            timer = loop.call_later(_LOOK_EVERY_S, look)

        timer = loop.call_later(_LOOK_EVERY_S, look)
        try:
            yield
        finally:
            timer.cancel()
            self.note(tenant_id, max(0.0, process.processor_s() - seen))

    def _bound(self) -> float:
        """The use from which a tenant's is heavy; it may be a moment old."""
        now = self._clock.monotonic()
        if now - self._compared_at >= _COMPARED_EVERY_S:
            active = [left for used in self._used.values() if (left := self._left(used)) > _ACTIVE_S]
            mean = sum(active) / len(active) if len(active) > 1 else math.inf
            self._bound_s, self._compared_at = max(self._heavy_s, mean * _ABOVE_MEAN), now
        return self._bound_s

    def _left(self, used: _Used) -> float:
        return used.seconds * math.exp((used.at - self._clock.monotonic()) / self._memory_s)
