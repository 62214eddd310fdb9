"""Which tenants' calls of child processes use much processor time."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from mesh.fairness import FairSlots
from mesh.lru import LruMap

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mesh.clock import Clock
    from mesh.processes.priority import RunningProcess

_CHECK_EVERY_S = 0.25
_TENANTS = 4_096
_SHARED_S = 10.0
"""How long after a call of another tenant the process counts as shared."""
_WAITING = 512
"""Most calls of one tenant with heavy use that wait to begin."""


@dataclass
class _Used:
    seconds: float
    at: float


class CpuUsage:
    """A call is long once it used `long_s` seconds of processor time. A tenant is heavy while one of its calls is long.

    It stays heavy while its long calls used more than `heavy_s` seconds lately; earlier seconds count less: after
    `memory_s` seconds 37 % of them. In `turns` the calls of heavy tenants begin one after the other.
    """

    def __init__(self, clock: Clock, *, long_s: float = 2.0, heavy_s: float = 3.0, memory_s: float = 30.0) -> None:
        self._clock = clock
        self._long_s = long_s
        self._heavy_s = heavy_s
        self._memory_s = memory_s
        self._others_called_at = -math.inf
        self.turns = FairSlots(
            "calls of tenants with heavy use", 1, per_tenant=1, waiting_per_tenant=_WAITING, waiting=4 * _WAITING
        )
        self._long: Counter[str] = Counter()
        self._used = LruMap[str, _Used](_TENANTS)

    @classmethod
    def of_process(cls, clock: Clock) -> CpuUsage:
        """The one of all contexts that are served by the running event loop: they share its processors."""
        return _OF_LOOPS.setdefault(asyncio.get_running_loop(), cls(clock))

    def is_heavy(self, tenant_id: str) -> bool:
        """Whether the tenant has a long call, or had such calls lately."""
        if self._long[tenant_id]:
            return True
        used = self._used.get(tenant_id)
        return used is not None and self._decayed(used) > self._heavy_s

    def record_light_tenant_call(self) -> None:
        """Records that a tenant without heavy use made a call: `is_shared` holds for the next 10 s."""
        self._others_called_at = self._clock.monotonic()

    @property
    def is_shared(self) -> bool:
        """Whether a tenant without heavy use made a call within the last 10 s."""
        return self._clock.monotonic() - self._others_called_at < _SHARED_S

    @contextmanager
    def metered(self, tenant_id: str, process: RunningProcess) -> Iterator[None]:
        """Count what a process uses in the enclosed call, and lower its priority once its tenant is heavy."""
        call = _Call(self, tenant_id, process)
        loop = asyncio.get_running_loop()
        timer: asyncio.TimerHandle

        def sample() -> None:
            nonlocal timer
            call.sample()
            timer = loop.call_later(_CHECK_EVERY_S, sample)

        timer = loop.call_later(_CHECK_EVERY_S, sample)
        try:
            yield
        finally:
            timer.cancel()
            call.end()

    def record_long_call_start(self, tenant_id: str) -> None:
        """A call of the tenant has become long."""
        self._long[tenant_id] += 1

    def record_long_call_usage(self, tenant_id: str, seconds: float) -> None:
        """A long call of the tenant used some seconds more."""
        used = self._used.get_or_create(tenant_id, lambda: _Used(0.0, self._clock.monotonic()))
        used.seconds, used.at = self._decayed(used) + seconds, self._clock.monotonic()

    def record_long_call_end(self, tenant_id: str) -> None:
        """A long call of the tenant has ended."""
        self._long[tenant_id] -= 1
        if not self._long[tenant_id]:
            del self._long[tenant_id]

    def exceeds_long_call_threshold(self, seconds: float) -> bool:
        """Whether a call that used so many seconds of processor time counts as long."""
        return seconds > self._long_s

    def _decayed(self, used: _Used) -> float:
        return used.seconds * math.exp((used.at - self._clock.monotonic()) / self._memory_s)


_OF_LOOPS: WeakKeyDictionary[asyncio.AbstractEventLoop, CpuUsage] = WeakKeyDictionary()


class _Call:
    """One call, looked at now and then."""

    def __init__(self, use: CpuUsage, tenant_id: str, process: RunningProcess) -> None:
        self._use = use
        self._tenant_id = tenant_id
        self._process = process
        self._began = self._seen = process.cpu_s()
        self._long = False

    def sample(self) -> None:
        """Count what was used since the last sample."""
        now = max(self._seen, self._process.cpu_s())  # of a process that has ended there is nothing to read
        used, self._seen = now - self._seen, now
        if not self._long and self._use.exceeds_long_call_threshold(now - self._began):
            self._long, used = True, now - self._began
            self._use.record_long_call_start(self._tenant_id)
        if self._long:
            self._use.record_long_call_usage(self._tenant_id, used)
        if self._use.is_heavy(self._tenant_id):
            self._process.lower_priority()

    def end(self) -> None:
        """Count the rest."""
        self.sample()
        if self._long:
            self._use.record_long_call_end(self._tenant_id)
