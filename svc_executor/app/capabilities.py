"""Telling the registry what this process can do, and how it fares."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from mesh.errors import SomaError
from mesh.resilience import CircuitState
from soma_providers.port import CapabilityKey, ProbeResult
from svc_executor.domain.peers import HealthReport, HealthState, RegisteredCapability

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mesh.clock import Clock
    from soma_providers.port import Catalogue, Manifest
    from svc_executor.app.ports import Registry

_HEALTH_TTL_S, _HEALTH_TTL_PROBES = 3_600.0, 3
"""How long health counts that nobody confirms: in seconds, and at least so many probes."""
_STATES = {True: HealthState.HEALTHY, False: HealthState.UNHEALTHY, None: HealthState.UNKNOWN}
_NOT_PROBED = ProbeResult(healthy=None, detail="not asked; its calls tell")
_log = logging.getLogger(__name__)


class RegisterManifests:
    """Registers the capabilities of this process."""

    def __init__(self, registry: Registry, manifests: Sequence[Manifest]) -> None:
        self._registry = registry
        self._unregistered = list(manifests)

    async def __call__(self) -> int:
        """Register what is not registered yet, and tell how many are left to try again.

        One that the registry refuses for good is left out with a warning.
        """
        failed: list[Manifest] = []
        for manifest in self._unregistered:
            try:
                await self._registry.register(manifest)
            except SomaError as error:
                if error.status_mapping.retryable:
                    failed.append(manifest)
                else:
                    _log.warning("%s was not registered: %s", manifest.capability_id, error.message)
        self._unregistered = failed
        return len(failed)


class ProbeProviders:
    """Asks every provider how it fares and reports it. `circuit` gives the state of a capability's circuit here.

    A probe speaks for each capability of its adapter, those of the manifests and those that others registered, unless
    it has an endpoint of its own. What did not change is reported again only when nobody has confirmed it for a while:
    half of `interval_s`, the time between two probes, for the platform's capabilities, by which the registry judges
    whether any provider is well; half of the time after which health lapses for those of tenants, which are many. What
    was not asked is not reported until the health that the registry has of it lapses; then it is UNKNOWN. An open
    circuit that another process reported stays until that process withdraws it, or has not confirmed it for
    `circuit_report_ttl_s` seconds.
    """

    def __init__(
        self,
        registry: Registry,
        catalogue: Catalogue,
        manifests: Sequence[Manifest],
        circuit: Callable[[CapabilityKey], CircuitState],
        clock: Clock,
        *,
        circuit_report_ttl_s: float = 150.0,
        interval_s: float = 60.0,
    ) -> None:
        self._registry = registry
        self._catalogue = catalogue
        self._manifests = tuple(manifests)
        self._circuit = circuit
        self._clock = clock
        self._circuit_report_ttl = timedelta(seconds=circuit_report_ttl_s)
        self._health_ttl = timedelta(seconds=max(_HEALTH_TTL_S, _HEALTH_TTL_PROBES * interval_s))
        self._half_interval = timedelta(seconds=interval_s / 2)

    @property
    def adapters(self) -> Sequence[str]:
        """The adapters to probe."""
        return tuple(dict.fromkeys(manifest.adapter for manifest in self._manifests))

    async def __call__(self, adapter: str) -> None:
        """Probe one adapter and report for each of its capabilities."""
        provider = self._catalogue.provider(adapter)
        if provider is None:
            result = ProbeResult(healthy=False, detail="there is no adapter for it here")
        else:
            result = await provider.probe()
        for capability in await self._list_by_adapter(adapter):
            report = self._report_of(capability, result)
            if report is not None:
                await self._report(report)

    def _report_of(self, capability: RegisteredCapability, result: ProbeResult) -> HealthReport | None:
        """What to report of a capability after a probe of its adapter, if anything."""
        circuit = self._circuit(capability.key)
        if circuit is CircuitState.OPEN:
            return _report(capability, HealthState.UNHEALTHY, result, circuit_open=True)
        if (
            capability.circuit_open
            and circuit is CircuitState.CLOSED
            and self._was_checked_within(capability, self._circuit_report_ttl)
        ):
            return None
        if capability.endpoint.rstrip("/") not in {"", result.endpoint}:
            result = _NOT_PROBED
        state = _STATES[result.healthy]
        if capability.circuit_open or not self._is_known(capability, state):
            return _report(capability, state, result)
        return None

    def _is_known(self, capability: RegisteredCapability, state: HealthState) -> bool:
        """Whether the registry need not be told that the state is this."""
        if state is HealthState.UNKNOWN:
            return capability.state is HealthState.UNKNOWN or self._was_checked_within(capability, self._health_ttl)
        max_age = self._health_ttl / 2 if capability.owner_tenant_id else self._half_interval
        return capability.state is state and self._was_checked_within(capability, max_age)

    def _was_checked_within(self, capability: RegisteredCapability, age: timedelta) -> bool:
        return capability.checked_at is not None and self._clock.now() - capability.checked_at < age

    async def _list_by_adapter(self, adapter: str) -> Sequence[RegisteredCapability]:
        shipped = {
            CapabilityKey(manifest.capability_id): RegisteredCapability(manifest.capability_id)
            for manifest in self._manifests
            if manifest.adapter == adapter
        }
        try:
            registered = await self._registry.list_by_adapter(adapter)
        except SomaError as error:
            _log.warning("the registry did not say what %s serves: %s", adapter, error.message)
            return tuple(shipped.values())
        return tuple({**shipped, **{capability.key: capability for capability in registered}}.values())

    async def _report(self, report: HealthReport) -> None:
        try:
            await self._registry.report_health(report)
        except SomaError as error:
            _log.warning("health of %s could not be reported: %s", report.capability_id, error.message)


def _report(
    capability: RegisteredCapability, state: HealthState, result: ProbeResult, *, circuit_open: bool = False
) -> HealthReport:
    return HealthReport(capability.capability_id, state, result.detail, circuit_open, capability.owner_tenant_id)
