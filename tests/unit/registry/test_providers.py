"""Whether there is any provider that can be chosen."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from svc_registry.app import Catalog, Providers, Registry
from svc_registry.domain import Actor, Capability, HealthState, Kind, Lifecycle, Modality, Report

if TYPE_CHECKING:
    from mesh.testing import FakeClock
    from svc_registry.adapters.memory import MemoryStore

FRESH_S = 300.0
OPERATOR = Actor("ops", "root", platform=True)
D2 = Capability("d2", "local", Kind.TOOL, (Modality.DIAGRAM,), ("image_diagram",))
MERMAID = replace(D2, tool_id="mermaid")


@pytest.fixture
async def registry(store: MemoryStore, catalog: Catalog, clock: FakeClock) -> Registry:
    built = Registry(store, catalog, clock)
    for each in (D2, MERMAID):
        await built.register(OPERATOR, each)
    return built


@pytest.fixture
def providers(catalog: Catalog, clock: FakeClock) -> Providers:
    return Providers(catalog, clock, FRESH_S)


async def report(registry: Registry, capability: Capability, state: HealthState, *, times: int = 1) -> None:
    """Tell the registry how a capability fares."""
    for _ in range(times):
        await registry.report_health(capability.key, Report(state))


async def test_without_capabilities_there_is_none(providers: Providers) -> None:
    assert await providers.failure_reason() == "no capability is registered"


async def test_before_any_was_probed_nobody_can_say(registry: Registry, providers: Providers) -> None:
    assert registry.get(OPERATOR, "d2@local")
    assert await providers.failure_reason() is None


@pytest.mark.parametrize("state", [HealthState.HEALTHY, HealthState.DEGRADED])
async def test_one_that_can_be_chosen_is_enough(registry: Registry, providers: Providers, state: HealthState) -> None:
    await report(registry, D2, HealthState.UNHEALTHY, times=3)
    await report(registry, MERMAID, state)
    assert await providers.failure_reason() == ""


async def test_none_that_can_be_chosen_is_a_loss(registry: Registry, providers: Providers) -> None:
    for each in (D2, MERMAID):
        await report(registry, each, HealthState.UNHEALTHY, times=3)
    assert await providers.failure_reason() == "none of 2 capabilities was found well in the last 300 s"


async def test_what_was_found_well_long_ago_counts_no_more(
    registry: Registry, providers: Providers, clock: FakeClock
) -> None:
    await report(registry, D2, HealthState.HEALTHY)
    await clock.advance(FRESH_S)
    assert await providers.failure_reason() == ""
    await clock.advance(1)
    assert "was found well" in (await providers.failure_reason() or "")


async def test_what_is_disabled_cannot_be_chosen(registry: Registry, providers: Providers) -> None:
    await report(registry, D2, HealthState.HEALTHY)
    await report(registry, MERMAID, HealthState.UNHEALTHY, times=3)
    await registry.update(OPERATOR, "d2@local", replace(D2, lifecycle=Lifecycle.DISABLED), ["lifecycle"])
    assert await providers.failure_reason() == "none of 1 capabilities was found well in the last 300 s"
