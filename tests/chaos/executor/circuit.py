"""An executor's guards, a registry over gRPC and a selector that follows it: what a circuit breaker's word travels."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mesh.degradation import DegradationLevel
from mesh.identity import Claims
from mesh.ids import SystemIds, rng
from mesh.policy import Policy
from mesh.settings import PolicySettings
from mesh.testing import FakeClock
from mesh.testing.contract import eventually
from mesh.testing.server import served
from soma.registry.v1.capability_service_pb2_grpc import (
    CapabilityServiceStub,
    add_CapabilityServiceServicer_to_server,
)
from soma_providers.port import (
    Failure,
    FailureOrigin,
    Invocation,
    InvocationResult,
    Manifest,
    ProviderBusyError,
    ProviderError,
)
from soma_providers.runtime.guarded import GuardedCatalogue, GuardLimits, Guards
from svc_executor.adapters.peers.registry import RegistryPeer
from svc_executor.adapters.reports import CapabilityReports
from svc_executor.app.capabilities import ProbeProviders, RegisterManifests
from svc_registry.app import Catalog as RegistryCatalog
from svc_registry.app import Registry
from svc_registry.domain import Ladder, LadderKey, Modality, Requester
from svc_registry.rpc import CapabilityServicer
from svc_selector.adapters.catalog import Catalog
from svc_selector.adapters.peers import RegistryWatch
from svc_selector.adapters.policy import RegoPolicy
from svc_selector.app import Recorder, Selector, SelectorOptions
from svc_selector.domain.model import Requirements, SelectionRequest, Subject
from svc_selector.domain.permissions import Permissions
from svc_selector.rpc import SelectionConverter
from tests.in_memory.executor.peers import MemoryMeter, MemoryRegistry
from tests.in_memory.registry import MemoryStore
from tests.in_memory.selector import MemoryDecisionStore, MemoryLedger
from tests.unit.executor.rig import ScriptedCatalogue, ScriptedProvider, picture
from tests.unit.registry.unasked import unasked

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from mesh.resilience import CircuitState
    from soma_providers.port import CapabilityKey, Provider
    from svc_selector.domain.decision import Decision

FAILURES = 5
RECOVERY_S = 60.0
SLOTS = 4
FIRST, SECOND = "mermaid@local", "d2@local"
NEED = Requirements("diagram", "image_diagram")
SUBJECT = Subject("acme", "alice", ("member",))
OPERATOR = Requester("ops", "root", is_platform=True)
EXECUTOR = Claims(tenant_id="soma", subject="executor", roles=("service",))


class Outage(ScriptedProvider):
    """Fails while it is down, after the event loop had a chance to start others. Counts what it injected."""

    down = False
    injected = 0
    why = Failure.UNAVAILABLE
    origin: FailureOrigin | None = None

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        """Fail or make a picture."""
        self.invocations.append(invocation)
        await asyncio.sleep(0)
        if self.down:
            self.injected += 1
            raise ProviderError(self.why, "it is down", origin=self.origin)
        return picture(invocation)


class Tenants:
    """Everybody has a plan, and the mesh is well."""

    level = DegradationLevel.NONE

    async def get(self, tenant_id: str, key_id: str) -> Permissions:
        """The permissions."""
        return Permissions("pro")


@dataclass
class Simulation:
    """All that takes part, in one process; time is turned by hand."""

    clock: FakeClock
    registry: Registry
    candidates: Catalog
    selector: Selector
    failing: Outage
    guards: Guards
    reports: CapabilityReports
    meter: MemoryMeter
    providers: GuardedCatalogue
    probe: ProbeProviders

    async def choose(self, exclude: Sequence[str] = ()) -> Decision:
        """A selection by the selector's own rules."""
        return await self.selector.select(SelectionRequest(NEED, exclude=tuple(exclude)), SUBJECT)

    async def invoke(self, capability_id: str) -> None:
        """Call a capability behind its guards, again while it is busy; raises ProviderError."""
        tool, provider = capability_id.split("@")
        guarded = self.providers.provider(tool)
        assert guarded is not None
        call = Invocation(tool, provider, "m", "generate_diagram", "image_diagram", {}, "key", 5.0, "acme")
        while True:
            try:
                await guarded.invoke(call)
            except ProviderBusyError:
                await asyncio.sleep(0)  # a real caller waits longer before it comes again
            else:
                return

    async def step(self) -> list[str]:
        """Select and call, falling back until something is made; gives the capabilities in the order of trying."""
        tried: list[str] = []
        while True:
            chosen = (await self.choose(tried)).chosen
            assert chosen is not None
            tried.append(chosen.capability_id)
            try:
                await self.invoke(chosen.capability_id)
            except ProviderError:
                await self.reports_arrived()
            else:
                return tried

    async def probed(self) -> None:
        """A round of probes, and the selector has heard of it."""
        for adapter in self.probe.adapters:
            await self.probe(adapter)
        await self.reports_arrived()

    async def reports_arrived(self) -> None:
        """What the guards had to report has reached registry and selector."""
        await self.reports.aclose()
        await eventually(self._in_step)

    def _in_step(self) -> bool:
        candidates = self.candidates.for_task(SUBJECT.tenant_id, NEED.modality, NEED.task_type)
        for known in (self.registry.get(OPERATOR, FIRST), self.registry.get(OPERATOR, SECOND)):
            candidate = candidates.get(known.capability_id)
            if candidate is None or (candidate.health.value, candidate.circuit_open, candidate.health_reason) != (
                known.health.state.value,
                known.health.circuit_open,
                known.health.reason,
            ):
                return False
        return True


@asynccontextmanager
async def running_simulation(make_guards: type[Guards] = Guards) -> AsyncIterator[Simulation]:
    """A simulation whose two capabilities are registered and well; `make_guards` may plant a bug."""
    clock, store, meter = FakeClock(), MemoryStore(), MemoryMeter()
    async with AsyncExitStack() as stack:
        catalog = await stack.enter_async_context(RegistryCatalog(store, store, "epoch").running())
        registry = Registry(store, catalog, clock)
        servicer = CapabilityServicer(registry, catalog, unasked)
        server = await stack.enter_async_context(
            served([(add_CapabilityServiceServicer_to_server, servicer)], caller=EXECUTOR)
        )
        manifests = [_manifest("mermaid"), _manifest("d2")]
        peer = RegistryPeer(server.channel, "executor-1", 150)
        await RegisterManifests(peer, manifests)()
        await registry.ladders.set(OPERATOR, Ladder(LadderKey(Modality.DIAGRAM, NEED.task_type), (FIRST, SECOND)))
        candidates = Catalog()
        await stack.enter_async_context(
            RegistryWatch(CapabilityServiceStub(server.channel), candidates, clock).running()
        )
        failing = Outage("local")
        limits = GuardLimits(slots=SLOTS, tries=1, failures=FAILURES, recovery_s=RECOVERY_S)
        reports = CapabilityReports(peer, meter, clock)
        guards = make_guards(limits, reports, clock, rng=rng(1))
        catalogue = GuardedCatalogue(ScriptedCatalogue({"mermaid": failing, "d2": ScriptedProvider("local")}), guards)
        probe = ProbeProviders(peer, catalogue, manifests, guards.circuit, clock)
        made = Simulation(
            clock, registry, candidates, _selector(candidates, clock), failing, guards, reports, meter, catalogue, probe
        )
        await made.probed()
        yield made
        await reports.aclose()


def _manifest(tool: str) -> Manifest:
    return Manifest(
        tool,
        "local",
        tool,
        {
            "tool_id": tool,
            "provider": "local",
            "kind": "CAPABILITY_KIND_TOOL",
            "modalities": ["MODALITY_DIAGRAM"],
            "task_types": [NEED.task_type],
        },
    )


def _selector(candidates: Catalog, clock: FakeClock) -> Selector:
    decisions, tenants, ids = MemoryDecisionStore(SelectionConverter().to_bytes), Tenants(), SystemIds()
    return Selector(
        candidates=candidates,
        policy=RegoPolicy(Policy.load(PolicySettings()), "test"),
        permissions=tenants,
        ledger=MemoryLedger(decisions, clock, ids, 1_000_000),
        decisions=decisions,
        recorder=Recorder(decisions, clock),
        degradation=tenants,
        clock=clock,
        ids=ids,
        options=SelectorOptions(reservation_ttl_s=60, max_stale_s=300, allow_force=False),
    )


class NeverOpens(Guards):
    """A planted bug: failures are not held against the provider."""

    async def invoke(self, inner: Provider, invocation: Invocation) -> InvocationResult:
        """Forget what was learnt before every call."""
        self._circuits.clear()
        return await super().invoke(inner, invocation)


class NeverReports(Guards):
    """A planted bug: the circuit opens, and the registry does not hear of it."""

    def _circuit_changed(self, capability: CapabilityKey, before: CircuitState, after: CircuitState) -> None:
        self._observer = CapabilityReports(MemoryRegistry(), MemoryMeter(), self._clock)
        super()._circuit_changed(capability, before, after)
