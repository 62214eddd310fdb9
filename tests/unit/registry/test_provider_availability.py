"""Whether there is any provider that can be chosen."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from svc_registry.app import Catalog, ProviderAvailability, Registry
from svc_registry.domain import Capability, HealthState, Kind, Lifecycle, Modality, Report, Requester

if TYPE_CHECKING:
    from mesh.testing import FakeClock
    from tests.in_memory.registry import MemoryStore

MAX_AGE_S = 300.0
OPERATOR = Requester("ops", "root", is_platform=True)
D2 = Capability("d2", "local", Kind.TOOL, (Modality.DIAGRAM,), ("image_diagram",))
MERMAID = replace(D2, tool_id="mermaid")


@pytest.fixture
async def registry(store: MemoryStore, catalog: Catalog, clock: FakeClock) -> Registry:
    built = Registry(store, catalog, clock)
    for each in (D2, MERMAID):
        await built.register(OPERATOR, each)
    return built


@pytest.fixture
def availability(catalog: Catalog, clock: FakeClock) -> ProviderAvailability:
    return ProviderAvailability(catalog, clock, MAX_AGE_S)


async def report(registry: Registry, capability: Capability, state: HealthState, *, times: int = 1) -> None:
    """Tell the registry how a capability fares."""
    for _ in range(times):
        await registry.report_health(capability.key, Report(state))


async def test_without_capabilities_there_is_none(availability: ProviderAvailability) -> None:
    assert await availability.failure_reason() == "no capability is registered"


async def test_before_any_was_probed_nobody_can_say(registry: Registry, availability: ProviderAvailability) -> None:
    assert registry.get(OPERATOR, "d2@local")
    assert await availability.failure_reason() is None


@pytest.mark.parametrize("state", [HealthState.HEALTHY, HealthState.DEGRADED])
async def test_one_that_can_be_chosen_is_enough(
    registry: Registry, availability: ProviderAvailability, state: HealthState
) -> None:
    await report(registry, D2, HealthState.UNHEALTHY, times=3)
    await report(registry, MERMAID, state)
    assert await availability.failure_reason() == ""


async def test_none_that_can_be_chosen_is_a_loss(registry: Registry, availability: ProviderAvailability) -> None:
    for each in (D2, MERMAID):
        await report(registry, each, HealthState.UNHEALTHY, times=3)
    assert await availability.failure_reason() == "none of 2 capabilities was healthy in the last 300 s"


async def test_what_was_found_well_long_ago_counts_no_more(
    registry: Registry, availability: ProviderAvailability, clock: FakeClock
) -> None:
    await report(registry, D2, HealthState.HEALTHY)
    await clock.advance(MAX_AGE_S)
    assert await availability.failure_reason() == ""
    await clock.advance(1)
    assert "was healthy" in (await availability.failure_reason() or "")


async def test_what_is_disabled_cannot_be_chosen(registry: Registry, availability: ProviderAvailability) -> None:
    await report(registry, D2, HealthState.HEALTHY)
    await report(registry, MERMAID, HealthState.UNHEALTHY, times=3)
    await registry.update(OPERATOR, "d2@local", replace(D2, lifecycle=Lifecycle.DISABLED), ["lifecycle"])
    assert await availability.failure_reason() == "none of 1 capabilities was healthy in the last 300 s"
