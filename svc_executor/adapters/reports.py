"""What calls show of capabilities: counted, and reported to the registry beside them."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mesh.errors import SomaError
from mesh.lru import LruMap
from mesh.resilience import CircuitState
from soma_providers.port import CapabilityKey
from svc_executor.domain.peers import HealthReport, HealthState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mesh.clock import Clock
    from svc_executor.app.ports import Meter, Registry

_log = logging.getLogger(__name__)
_REPORT_TIMEOUT_S = 10.0
_SUCCESS_INTERVAL_S = 60.0
_MAX_CAPABILITIES = 4_096


@dataclass
class _Reported:
    """When the last success was reported, by the monotonic clock."""

    at: float = -math.inf


class HealthReports:
    """Sends reports to the registry; a call does not wait for them."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock
        self._successes = LruMap[CapabilityKey, _Reported](_MAX_CAPABILITIES)
        self._pending: set[asyncio.Task[None]] = set()

    def succeeded(self, capability: CapabilityKey) -> None:
        """Report a capability as HEALTHY, once a minute at most."""
        now = self._clock.monotonic()
        last = self._successes.get_or_create(capability, _Reported)
        if now - last.at >= _SUCCESS_INTERVAL_S:
            last.at = now
            self.send(
                HealthReport(capability.capability_id, HealthState.HEALTHY, owner_tenant_id=capability.owner_tenant_id)
            )

    def send(self, report: HealthReport) -> None:
        """Report, in the name of the executor and not of the tenant whose call was the last."""
        task = asyncio.create_task(self._send(report), context=contextvars.Context())
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)

    async def aclose(self) -> None:
        """Give reports under way a moment to arrive."""
        if self._pending:
            await asyncio.wait(set(self._pending), timeout=_REPORT_TIMEOUT_S)

    async def _send(self, report: HealthReport) -> None:
        try:
            async with asyncio.timeout(_REPORT_TIMEOUT_S):
                await self._registry.report_health(report)
        except (SomaError, TimeoutError) as error:
            _log.warning("health of %s could not be reported: %s", report.capability_id, error)


class CapabilityReports:
    """A `GuardObserver`: counts circuits with the meter, and tells the registry how capabilities fare."""

    def __init__(self, registry: Registry, meter: Meter, clock: Clock) -> None:
        self._meter = meter
        self._reports = HealthReports(registry, clock)

    def circuit_changed(self, capability: CapabilityKey, state: CircuitState) -> None:
        self._meter.breaker(capability, state.value)
        if state is CircuitState.HALF_OPEN:
            return  # the next probe reports it
        opened = state is CircuitState.OPEN
        reason = "it failed repeatedly and is left alone for a while" if opened else ""
        health = HealthState.UNHEALTHY if opened else HealthState.HEALTHY
        self._reports.send(HealthReport(capability.capability_id, health, reason, opened, capability.owner_tenant_id))

    def succeeded(self, capability: CapabilityKey) -> None:
        self._reports.succeeded(capability)

    def tenant_circuits(self, open_now: Callable[[], Mapping[CapabilityKey, int]]) -> None:
        self._meter.tenant_circuits(open_now)

    async def aclose(self) -> None:
        """Give reports under way a moment to arrive."""
        await self._reports.aclose()
