"""The providers of this process: guarded, registered, probed."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mesh.ids import rng
from mesh.lifecycle import background
from soma_providers.port import ProviderContext
from soma_providers.runtime import discovery, manifests
from soma_providers.runtime.catalogue import ModuleCatalogue
from soma_providers.runtime.egress import EgressRules, GuardedEgress
from soma_providers.runtime.estimates import CatalogueEstimates
from soma_providers.runtime.guarded import GuardedCatalogue, GuardLimits, Guards
from soma_providers.runtime.processes import ChildProcesses
from svc_executor.adapters.documents import ProcessDiffer
from svc_executor.adapters.reports import CapabilityReports
from svc_executor.app.capabilities import ProbeProviders, RegisterManifests

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator, Awaitable, Callable

    from mesh.chassis import Chassis
    from mesh.clock import Clock
    from soma_providers.port import Catalogue, Estimates, Manifest
    from svc_executor.app.ports import Differ, Meter, Registry
    from svc_executor.settings import ExecutorSettings

_FIRST_RETRY_S, _LONGEST_RETRY_S = 0.1, 2.0
_JITTER = 0.2
_MISSED_PROBES = 1.5
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ProviderRuntime:
    """The catalogue of guarded providers, what their calls consume, and what compares the documents that they compose.

    `registered` waits so many seconds until the registry knows them all, and tells whether it does.
    """

    catalogue: Catalogue
    estimates: Estimates
    differ: Differ
    registered: Callable[[float], Awaitable[bool]]

    @classmethod
    @asynccontextmanager
    async def open(
        cls, chassis: Chassis, settings: ExecutorSettings, registry: Registry, meter: Meter
    ) -> AsyncIterator[ProviderRuntime]:
        """Open the adapters of all manifests; register and probe them in the background."""
        found = _manifests(settings)
        limits = GuardLimits(
            slots=settings.provider_slots,
            tenant_slots=settings.tenant_slots,
            max_total_per_tenant=max(1, settings.concurrent_activities // 2),
            tries=settings.provider_tries,
            failures=settings.breaker_failures,
            window_s=settings.breaker_window_s,
            recovery_s=settings.breaker_recovery_s,
        )
        jitter_rng = rng()
        async with AsyncExitStack() as stack:
            egress = await stack.enter_async_context(GuardedEgress(_rules(settings)))
            processes = ChildProcesses(
                chassis.clock,
                chassis.cpu_usage,
                processes=settings.local_processes,
                cpu_s=settings.local_cpu_s,
                idle_s=settings.local_idle_s,
            )
            await stack.enter_async_context(processes.running())
            context = ProviderContext(
                chassis.clock, egress, settings.home / "providers", processes, settings.providers, settings.model_idle_s
            )
            inner = ModuleCatalogue(context, discovery.installed(), {manifest.adapter for manifest in found})
            stack.push_async_callback(inner.aclose)
            reports = CapabilityReports(registry, meter, chassis.clock)
            stack.push_async_callback(reports.aclose)
            guards = Guards(limits, reports, chassis.clock, rng=jitter_rng, is_heavy=chassis.cpu_usage.is_heavy)
            catalogue = GuardedCatalogue(inner, guards)
            register = RegisterManifests(registry, found)
            probe = ProbeProviders(
                registry, catalogue, found, guards.circuit, chassis.clock,
                circuit_report_ttl_s=circuit_report_ttl_s(settings), interval_s=settings.probe_interval_s,
            )  # fmt: skip
            reconciler = _CapabilityReconciler(register, probe, chassis.clock, jitter_rng, settings.probe_interval_s)
            await stack.enter_async_context(background(reconciler.run, "capabilities", clock=chassis.clock))
            yield cls(catalogue, CatalogueEstimates(catalogue, found), ProcessDiffer(processes), reconciler.registered)


def circuit_report_ttl_s(settings: ExecutorSettings) -> float:
    """Returns for how many seconds a reported open circuit counts without being confirmed by its reporter."""
    return settings.breaker_recovery_s + _MISSED_PROBES * settings.probe_interval_s


def shipped_capabilities(settings: ExecutorSettings) -> frozenset[str]:
    """The ids of the capabilities that come with this process."""
    return frozenset(manifest.capability_id for manifest in _manifests(settings))


def _manifests(settings: ExecutorSettings) -> list[Manifest]:
    return manifests.installed() if settings.manifests is None else manifests.load(settings.manifests)


def _rules(settings: ExecutorSettings) -> EgressRules:
    return EgressRules(
        allow=settings.egress_allow,
        deny=settings.egress_deny,
        loopback=frozenset(settings.egress_loopback),
        plain_http=settings.egress_plain_http,
    )


class _CapabilityReconciler:
    """Registers until the registry knows everything, then probes for ever."""

    def __init__(
        self,
        register: RegisterManifests,
        probe: ProbeProviders,
        clock: Clock,
        jitter_rng: random.Random,
        interval_s: float,
    ) -> None:
        self._register = register
        self._probe = probe
        self._clock = clock
        self._jitter_rng = jitter_rng
        self._interval_s = interval_s
        self._complete = asyncio.Event()

    async def registered(self, seconds: float) -> bool:
        """Wait until everything is registered; False when it took longer."""
        try:
            async with asyncio.timeout(seconds):
                await self._complete.wait()
        except TimeoutError:
            _log.warning("the registry does not know all capabilities after %g s", seconds)
            return False
        return True

    async def run(self) -> None:
        """Never ends by itself."""
        pause = _FIRST_RETRY_S
        while await self._register():
            await self._clock.sleep(pause)
            pause = min(pause * 2, _LONGEST_RETRY_S)
        self._complete.set()
        await asyncio.gather(*(self._watch(adapter) for adapter in self._probe.adapters))

    async def _watch(self, adapter: str) -> None:
        while True:
            await self._probe(adapter)
            await self._clock.sleep(self._interval_s * self._jitter_rng.uniform(1 - _JITTER, 1 + _JITTER))
