"""Registering and probing what this process can do."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from mesh.clock import SystemClock
from mesh.errors import Reason, SomaError
from mesh.resilience import CircuitState
from mesh.testing.clock import FakeClock
from soma.registry.v1 import capability_pb2
from soma_providers.port import Manifest, ProbeResult, ProviderContext
from soma_providers.runtime import discovery, manifests
from soma_providers.runtime.catalogue import ModuleCatalogue
from svc_executor.adapters.peers import capability_of, registered_capability_from_proto
from svc_executor.app.capabilities import ProbeProviders, RegisterManifests
from svc_executor.domain.peers import HealthState, RegisteredCapability
from tests.in_memory.executor.peers import MemoryRegistry
from tests.unit.executor.rig import ScriptedCatalogue, ScriptedProvider

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from soma_providers.port import CapabilityKey

MERMAID = Manifest("mermaid", "local", "mermaid", {"tool_id": "mermaid", "provider": "local"})
DRAWING = Manifest("drawing", "local", "mermaid", {"tool_id": "drawing", "provider": "local"})


def closed(_: CapabilityKey) -> CircuitState:
    return CircuitState.CLOSED


def opened(_: CapabilityKey) -> CircuitState:
    return CircuitState.OPEN


class Refusing(MemoryRegistry):
    """Refuses for a reason, a number of times."""

    def __init__(self, reason: Reason, times: int) -> None:
        super().__init__()
        self._reason = reason
        self._left = times

    async def register(self, manifest: Manifest) -> None:
        if self._left:
            self._left -= 1
            raise SomaError(self._reason, "no")
        await super().register(manifest)


def mermaid_only() -> ScriptedCatalogue:
    return ScriptedCatalogue({"mermaid": ScriptedProvider("local")})


async def test_manifests_are_registered_once_the_registry_is_there() -> None:
    registry = Refusing(Reason.UNAVAILABLE, times=1)
    register = RegisterManifests(registry, [MERMAID, DRAWING])
    assert await register() == 1
    assert await register() == 0
    assert set(registry.manifests) == {"mermaid@local", "drawing@local"}


async def test_a_manifest_that_is_refused_for_good_is_not_tried_again() -> None:
    registry = Refusing(Reason.INVALID_ARGUMENT, times=1)
    register = RegisterManifests(registry, [MERMAID, DRAWING])
    assert await register() == 0
    assert set(registry.manifests) == {"drawing@local"}


async def test_a_probe_speaks_for_every_capability_of_its_adapter() -> None:
    registry = MemoryRegistry()
    probe = ProbeProviders(registry, mermaid_only(), [MERMAID, DRAWING], closed, FakeClock())
    assert probe.adapters == ("mermaid",)
    await probe("mermaid")
    assert [(report.capability_id, report.state) for report in registry.reports] == [
        ("mermaid@local", HealthState.HEALTHY), ("drawing@local", HealthState.HEALTHY),
    ]  # fmt: skip


async def test_a_probe_speaks_for_capabilities_that_others_registered() -> None:
    registry = MemoryRegistry()
    await registry.register(Manifest("sketch", "studio", "mermaid", {}))
    await registry.register(Manifest("song", "studio", "lute", {}))
    probe = ProbeProviders(registry, mermaid_only(), [MERMAID], closed, FakeClock())
    await probe("mermaid")
    assert [report.capability_id for report in registry.reports] == ["mermaid@local", "sketch@studio"]


async def test_a_silent_registry_leaves_a_probe_with_the_manifests() -> None:
    class Silent(MemoryRegistry):
        async def list_by_adapter(self, adapter: str) -> Sequence[RegisteredCapability]:
            raise SomaError(Reason.UNAVAILABLE, "away")

    registry = Silent()
    probe = ProbeProviders(registry, mermaid_only(), [MERMAID], closed, FakeClock())
    await probe("mermaid")
    assert [report.capability_id for report in registry.reports] == ["mermaid@local"]


async def test_a_probe_that_fails_reports_why() -> None:
    class Ill(ScriptedProvider):
        async def probe(self) -> ProbeResult:
            return ProbeResult(healthy=False, detail="the model file is missing")

    registry = MemoryRegistry()
    await ProbeProviders(registry, ScriptedCatalogue({"mermaid": Ill("local")}), [MERMAID], closed, FakeClock())(
        "mermaid"
    )
    assert (registry.reports[0].state, registry.reports[0].reason) == (
        HealthState.UNHEALTHY, "the model file is missing",
    )  # fmt: skip


async def test_a_good_probe_does_not_hide_an_open_circuit() -> None:
    registry = MemoryRegistry()
    probe = ProbeProviders(registry, mermaid_only(), [MERMAID], opened, FakeClock())
    await probe("mermaid")
    assert (registry.reports[0].state, registry.reports[0].circuit_open) == (HealthState.UNHEALTHY, True)


class Unasked(ScriptedProvider):
    """A provider that has no free endpoint to ask."""

    async def probe(self) -> ProbeResult:
        return ProbeResult(healthy=None, detail="its calls tell")


async def test_what_was_not_asked_is_not_reported() -> None:
    registry = MemoryRegistry()
    await ProbeProviders(registry, ScriptedCatalogue({"mermaid": Unasked("local")}), [MERMAID], closed, FakeClock())(
        "mermaid"
    )
    assert registry.reports == []


async def test_a_probe_does_not_speak_for_a_capability_with_an_endpoint_of_its_own() -> None:
    registry = MemoryRegistry()
    await registry.register(MERMAID)
    await registry.register(Manifest("own", "local", "mermaid", {"endpoint": "https://example.com/v1"}))
    catalogue = ScriptedCatalogue({"mermaid": ScriptedProvider("local")})
    await ProbeProviders(registry, catalogue, [MERMAID], closed, FakeClock())("mermaid")
    assert [report.capability_id for report in registry.reports] == ["mermaid@local"]


@pytest.mark.parametrize("provider", [ScriptedProvider("local"), Unasked("local")])
async def test_an_open_circuit_of_another_process_is_left_until_it_is_no_longer_confirmed(
    provider: ScriptedProvider,
) -> None:
    registry, clock = MemoryRegistry(), FakeClock()
    await registry.register(MERMAID)
    registry.opened["mermaid@local"] = clock.now()
    catalogue = ScriptedCatalogue({"mermaid": provider})
    probe = ProbeProviders(registry, catalogue, [MERMAID], closed, clock, circuit_report_ttl_s=150)
    await clock.advance(149)
    await probe("mermaid")
    assert registry.reports == []
    await clock.advance(1)
    await probe("mermaid")
    assert [report.circuit_open for report in registry.reports] == [False]


class Served(MemoryRegistry):
    """Serves one capability, last reported as `state` so many seconds ago."""

    def __init__(self, clock: FakeClock, state: HealthState, age_s: float, owner: str = "", endpoint: str = "") -> None:
        super().__init__()
        at = clock.now() - timedelta(seconds=age_s)
        self._registered = RegisteredCapability("mermaid@local", endpoint, False, at, owner, state)

    async def list_by_adapter(self, adapter: str) -> Sequence[RegisteredCapability]:
        return [self._registered]


class Failing(ScriptedProvider):
    """A provider that answers probes with an error."""

    async def probe(self) -> ProbeResult:
        return ProbeResult(healthy=False, detail="it answered 500")


async def reported(
    provider: ScriptedProvider, state: HealthState, age_s: float, owner: str = "", endpoint: str = ""
) -> list[HealthState]:
    """The states that a probe reports of the owner's capability, by what the registry has."""
    clock = FakeClock()
    registry = Served(clock, state, age_s, owner, endpoint)
    await ProbeProviders(registry, ScriptedCatalogue({"mermaid": provider}), [MERMAID], closed, clock, interval_s=60.0)(
        "mermaid"
    )
    return [report.state for report in registry.reports if report.owner_tenant_id == owner]


@pytest.mark.parametrize(
    ("state", "age_s", "owner", "states"),
    [
        (HealthState.HEALTHY, 29, "", []),
        (HealthState.HEALTHY, 30, "", [HealthState.HEALTHY]),
        (HealthState.HEALTHY, 1_799, "acme", []),
        (HealthState.HEALTHY, 1_800, "acme", [HealthState.HEALTHY]),
        (HealthState.UNKNOWN, 1, "acme", [HealthState.HEALTHY]),
        (HealthState.DEGRADED, 1, "acme", [HealthState.HEALTHY]),
        (HealthState.UNHEALTHY, 1, "acme", [HealthState.HEALTHY]),
    ],
)
async def test_what_did_not_change_is_confirmed_before_it_is_too_old_and_not_at_each_probe(
    state: HealthState, age_s: float, owner: str, states: list[HealthState]
) -> None:
    assert await reported(ScriptedProvider("local"), state, age_s, owner) == states


async def test_failed_probes_are_reported_until_they_have_taken_the_capability_out() -> None:
    assert await reported(Failing("local"), HealthState.DEGRADED, 1, "acme") == [HealthState.UNHEALTHY]
    assert await reported(Failing("local"), HealthState.UNHEALTHY, 1, "acme") == []


@pytest.mark.parametrize("state", [HealthState.HEALTHY, HealthState.DEGRADED, HealthState.UNHEALTHY])
@pytest.mark.parametrize(("provider", "endpoint"), [(Unasked("local"), ""), (ScriptedProvider("local"), "https://own")])
async def test_health_that_nobody_confirms_becomes_unknown(
    provider: ScriptedProvider, endpoint: str, state: HealthState
) -> None:
    assert await reported(provider, state, 3_599, "", endpoint) == []
    assert await reported(provider, state, 3_600, "", endpoint) == [HealthState.UNKNOWN]
    assert await reported(provider, HealthState.UNKNOWN, 3_600, "", endpoint) == []


async def test_private_capabilities_of_equal_ids_are_each_reported_for_their_owner() -> None:
    class Owned(MemoryRegistry):
        async def list_by_adapter(self, adapter: str) -> Sequence[RegisteredCapability]:
            return [RegisteredCapability("mermaid@local", owner_tenant_id=owner) for owner in ("", "acme", "umbrella")]

    def open_for_acme(capability: CapabilityKey) -> CircuitState:
        return CircuitState.OPEN if capability.owner_tenant_id == "acme" else CircuitState.CLOSED

    registry, catalogue = Owned(), ScriptedCatalogue({"mermaid": ScriptedProvider("local")})
    await ProbeProviders(registry, catalogue, [MERMAID], open_for_acme, FakeClock())("mermaid")
    assert [(report.owner_tenant_id, report.circuit_open) for report in registry.reports] == [
        ("", False), ("acme", True), ("umbrella", False),
    ]  # fmt: skip


async def test_a_process_withdraws_its_own_open_circuit_once_a_call_may_try_again() -> None:
    registry, clock = MemoryRegistry(), FakeClock()
    await registry.register(MERMAID)
    registry.opened["mermaid@local"] = clock.now()
    catalogue = ScriptedCatalogue({"mermaid": Unasked("local")})
    await ProbeProviders(registry, catalogue, [MERMAID], lambda _: CircuitState.HALF_OPEN, clock)("mermaid")
    [report] = registry.reports
    assert (report.state, report.circuit_open) == (HealthState.UNKNOWN, False)


async def test_a_manifest_without_an_adapter_is_reported_as_unhealthy() -> None:
    registry = MemoryRegistry()
    await ProbeProviders(registry, ScriptedCatalogue({}), [MERMAID], closed, FakeClock())("mermaid")
    assert registry.reports[0].state is HealthState.UNHEALTHY


GOOD = """\
tool_id: mermaid
provider: local
kind: CAPABILITY_KIND_TOOL
modalities: [MODALITY_DIAGRAM]
task_types: [image_diagram]
price_list: {version: "1", prices: [{unit: PRICE_UNIT_CALL, micro_usd: 5}]}
"""


@pytest.mark.parametrize("state", list(HealthState))
def test_the_state_that_the_registry_has_is_read(state: HealthState) -> None:
    health = capability_pb2.Health(state=capability_pb2.HealthState.Value(f"HEALTH_STATE_{state}"))
    assert registered_capability_from_proto(capability_pb2.Capability(health=health)).state is state


def test_manifests_are_read_from_their_folder(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text(GOOD)
    (tmp_path / "a.yaml").write_text(GOOD.replace("mermaid", "other") + "adapter: mermaid\n")
    other, mermaid = manifests.load(tmp_path)
    assert (mermaid.capability_id, mermaid.adapter) == ("mermaid@local", "mermaid")
    assert (other.capability_id, other.adapter) == ("other@local", "mermaid")
    message = capability_of(mermaid)
    assert (message.adapter, message.price_list.prices[0].micro_usd) == ("mermaid", 5)


def test_a_manifest_that_lacks_a_field_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("tool_id: x\nprovider: y\n")
    with pytest.raises(manifests.ManifestError, match=r"bad\.yaml lacks kind, modalities, task_types"):
        manifests.load(tmp_path)


async def test_only_adapters_of_manifests_are_looked_up(tmp_path: Path) -> None:
    context = ProviderContext(SystemClock(), None, tmp_path, None)  # type: ignore[arg-type]
    catalogue = ModuleCatalogue(context, discovery.installed(), ["nowhere"])
    assert catalogue.provider("mermaid") is None
    assert catalogue.provider("nowhere") is None
    await catalogue.aclose()
