"""The registry's rules: who may register, see, change and find capabilities, and how health is kept."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import Reason, SomaError
from mesh.testing import FakeClock
from svc_registry.adapters.memory import MemoryStore
from svc_registry.app import Catalog, Registry
from svc_registry.domain import (
    Actor,
    AllowLists,
    Capability,
    CapabilityFilter,
    CapabilityKey,
    Constraints,
    Health,
    HealthState,
    Kind,
    Ladder,
    LadderKey,
    Lifecycle,
    Modality,
    Report,
    Requirements,
    first_rejection,
    observe,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PLATFORM_ADMIN = Actor("ops", "root", platform=True)
ACME = Actor("acme", "alice")
UMBRELLA = Actor("umbrella", "bob")
D2 = Capability("d2", "local", Kind.TOOL, (Modality.DIAGRAM,), ("image_diagram",))
NEED = Requirements(Modality.DIAGRAM, "image_diagram")


@pytest.fixture
async def registry() -> AsyncIterator[Registry]:
    store = MemoryStore()
    async with Catalog(store, store, "e").running() as catalog:
        yield Registry(store, catalog, FakeClock())


def reason_of(error: pytest.ExceptionInfo[SomaError]) -> Reason:
    return error.value.reason


async def test_registering_twice_changes_nothing(registry: Registry) -> None:
    first = await registry.register(PLATFORM_ADMIN, D2)
    assert await registry.register(PLATFORM_ADMIN, D2) == first
    assert first.version == 1


async def test_a_changed_offer_gets_a_new_version_and_keeps_its_health(registry: Registry) -> None:
    await registry.register(PLATFORM_ADMIN, D2)
    await registry.report_health(CapabilityKey("d2@local"), Report(HealthState.HEALTHY))
    changed = await registry.register(PLATFORM_ADMIN, replace(D2, description="better"))
    assert (changed.version, changed.health.state) == (2, HealthState.HEALTHY)


async def test_an_old_version_is_refused(registry: Registry) -> None:
    await registry.register(PLATFORM_ADMIN, D2)
    await registry.register(PLATFORM_ADMIN, replace(D2, description="2"))
    with pytest.raises(SomaError) as refused:
        await registry.register(PLATFORM_ADMIN, replace(D2, description="3", version=1))
    assert reason_of(refused) is Reason.STALE_VERSION


async def test_what_an_operator_disabled_stays_so_when_its_service_starts_again(registry: Registry) -> None:
    service = Actor("*", "spiffe://soma/executor", platform=True, service=True)
    await registry.register(service, D2)
    await registry.disable(PLATFORM_ADMIN, "d2@local")
    again = await registry.register(service, replace(D2, description="better"))
    assert (again.lifecycle, again.description) == (Lifecycle.DISABLED, "better")
    assert (await registry.register(PLATFORM_ADMIN, D2)).lifecycle is Lifecycle.ACTIVE


async def test_what_a_tenant_registers_is_its_own(registry: Registry) -> None:
    mine = await registry.register(ACME, replace(D2, provider="acme", allow=AllowLists(tenants=("umbrella",))))
    assert mine.allow.tenants == ("acme",)
    with pytest.raises(SomaError) as hidden:
        registry.get(UMBRELLA, "d2@acme")
    assert reason_of(hidden) is Reason.NOT_FOUND
    assert registry.list(UMBRELLA, CapabilityFilter(), 0, "").items == []


async def test_a_tenant_cannot_change_what_the_platform_registered(registry: Registry) -> None:
    await registry.register(PLATFORM_ADMIN, D2)
    with pytest.raises(SomaError) as refused:
        await registry.register(ACME, replace(D2, description="mine now"))
    assert reason_of(refused) is Reason.PERMISSION_DENIED


async def test_updating_another_tenants_capability_is_not_found(registry: Registry) -> None:
    await registry.register(ACME, replace(D2, provider="acme"))
    with pytest.raises(SomaError) as hidden:
        await registry.update(UMBRELLA, "d2@acme", replace(D2, provider="acme", description="x"), ["description"])
    assert reason_of(hidden) is Reason.NOT_FOUND


async def test_a_field_that_cannot_change_is_named(registry: Registry) -> None:
    await registry.register(PLATFORM_ADMIN, D2)
    with pytest.raises(SomaError) as refused:
        await registry.update(PLATFORM_ADMIN, "d2@local", D2, ["tool_id"])
    assert refused.value.fields[0].field == "update_mask"


async def test_an_update_changes_the_named_fields_alone(registry: Registry) -> None:
    await registry.register(PLATFORM_ADMIN, replace(D2, tags=("a",)))
    offered = replace(D2, description="new", tags=("b",))
    updated = await registry.update(PLATFORM_ADMIN, "d2@local", offered, ["description"])
    assert (updated.description, updated.tags) == ("new", ("a",))


async def test_a_schema_that_is_none_is_refused(registry: Registry) -> None:
    with pytest.raises(SomaError) as refused:
        await registry.register(PLATFORM_ADMIN, replace(D2, input_schema={"type": "nonsense"}))
    assert refused.value.fields[0].field == "capability.input_schema"


async def test_a_disabled_capability_is_left_out_and_not_listed(registry: Registry) -> None:
    await registry.register(PLATFORM_ADMIN, D2)
    await registry.disable(PLATFORM_ADMIN, "d2@local")
    able, left_out = await registry.find(ACME, NEED)
    assert (list(able), [item.code for item in left_out]) == ([], ["DISABLED"])
    assert registry.list(ACME, CapabilityFilter(), 0, "").items == []


async def test_an_adapter_finds_what_it_serves(registry: Registry) -> None:
    await registry.register(PLATFORM_ADMIN, replace(D2, adapter="drawer"))
    await registry.register(PLATFORM_ADMIN, replace(D2, tool_id="other", adapter="writer"))
    found = registry.list(ACME, CapabilityFilter(adapter="drawer"), 0, "").items
    assert [item.capability_id for item in found] == ["d2@local"]


async def test_pages_cover_everything_once(registry: Registry) -> None:
    for number in range(7):
        await registry.register(PLATFORM_ADMIN, replace(D2, tool_id=f"t{number}"))
    seen: list[str] = []
    token = ""
    while True:
        page = registry.list(ACME, CapabilityFilter(), 3, token)
        seen += [item.capability_id for item in page.items]
        token = page.next_token
        if not token:
            break
    assert seen == [f"t{number}@local" for number in range(7)]


async def test_candidates_come_in_the_order_of_the_ladder(registry: Registry) -> None:
    for tool in ("a", "b", "c"):
        await registry.register(PLATFORM_ADMIN, replace(D2, tool_id=tool))
    key = LadderKey(Modality.DIAGRAM, "image_diagram")
    await registry.ladders.set(PLATFORM_ADMIN, Ladder(key, ("c@local", "a@local")))
    able, _ = await registry.find(ACME, NEED)
    assert [item.tool_id for item in able] == ["c", "a", "b"]


async def test_a_ladder_of_unknown_capabilities_is_refused_for_a_tenant(registry: Registry) -> None:
    with pytest.raises(SomaError) as refused:
        await registry.ladders.set(ACME, Ladder(LadderKey(Modality.DIAGRAM, "x"), ("no@one",)))
    assert refused.value.fields[0].field == "ladder.capability_ids[0]"


@pytest.mark.parametrize(
    ("limits", "need", "code"),
    [
        (Constraints(formats=("svg",)), replace(NEED, formats=("png",)), "FORMAT_MISMATCH"),
        (Constraints(max_width_px=10), replace(NEED, width_px=11), "TOO_WIDE"),
        (Constraints(max_height_px=10), replace(NEED, height_px=11), "TOO_HIGH"),
        (Constraints(max_prompt_chars=10), replace(NEED, prompt_chars=11), "PROMPT_TOO_LONG"),
        (Constraints(context_window_tokens=10), replace(NEED, context_tokens=11), "CONTEXT_TOO_SMALL"),
        (Constraints(max_duration_s=10), replace(NEED, duration_s=10.5), "TOO_LONG"),
        (Constraints(source_languages=("d2",)), replace(NEED, source_language="mermaid"), "LANGUAGE_MISMATCH"),
        (Constraints(), replace(NEED, task_type="chart"), "TASK_TYPE_MISMATCH"),
    ],
)
def test_each_limit_has_its_reason(limits: Constraints, need: Requirements, code: str) -> None:
    left_out = first_rejection(replace(D2, constraints=limits), need)
    assert left_out is not None
    assert left_out.code == code


async def test_parameters_are_checked_against_the_schema(registry: Registry) -> None:
    await registry.register(PLATFORM_ADMIN, replace(D2, input_schema={"required": ["diagram"]}))
    able, _ = await registry.find(ACME, replace(NEED, params={"diagram": "a -> b"}))
    assert [item.capability_id for item in able] == ["d2@local"]
    able, left_out = await registry.find(ACME, replace(NEED, params={}))
    assert (list(able), [item.code for item in left_out]) == ([], ["PARAMS_MISMATCH"])
    assert "diagram" in left_out[0].reason


@given(st.lists(st.sampled_from([HealthState.HEALTHY, HealthState.DEGRADED, HealthState.UNHEALTHY]), max_size=30))
def test_a_capability_leaves_only_after_three_failures_in_a_row(reports: list[HealthState]) -> None:
    now = FakeClock().now()
    health = Health()
    in_a_row = 0
    for report in reports:
        health = observe(health, Report(report), now)
        in_a_row = 0 if report is HealthState.HEALTHY else in_a_row + 1
        assert health.failure_count == in_a_row
        if health.state is HealthState.UNHEALTHY:
            assert in_a_row >= 3
        if in_a_row == 0:
            assert health.state is HealthState.HEALTHY


def test_an_open_breaker_takes_out_at_once() -> None:
    health = observe(Health(), Report(HealthState.DEGRADED, circuit_open=True), FakeClock().now())
    assert health.state is HealthState.UNHEALTHY
