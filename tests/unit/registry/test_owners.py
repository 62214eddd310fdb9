"""Name spaces of tenants: a private capability never blocks, shadows or reveals another's."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import prometheus_client
import pytest

from mesh.errors import Reason, SomaError
from svc_registry.app import Catalog, Registry
from svc_registry.app.gauges import PRIVATE
from svc_registry.app.ports import CapabilityFilter
from svc_registry.domain import (
    AllowLists,
    Capability,
    CapabilityKey,
    HealthState,
    Kind,
    Ladder,
    LadderKey,
    Lifecycle,
    Modality,
    Report,
    Requester,
)
from tests.unit.selector.finding import find, requirements

if TYPE_CHECKING:
    from mesh.testing import FakeClock
    from tests.in_memory.registry import MemoryStore

OPERATOR = Requester("ops", "root", is_platform=True)
EXECUTOR = Requester("*", "spiffe://soma/executor", is_platform=True, is_service=True)
ACME, UMBRELLA = Requester("acme", "alice"), Requester("umbrella", "bob")
D2 = Capability("d2", "local", Kind.TOOL, (Modality.DIAGRAM,), ("image_diagram",))
OPEN = Report(HealthState.UNHEALTHY, circuit_open=True)


@pytest.fixture
def registry(store: MemoryStore, catalog: Catalog, clock: FakeClock) -> Registry:
    return Registry(store, catalog, clock)


async def seen(registry: Registry, requester: Requester) -> list[tuple[str, str]]:
    """Owner and description of what a requester reads."""
    listed = registry.list(requester, CapabilityFilter(include_disabled=True), 50, "").items
    return [(item.tenant_id, item.description) for item in listed]


async def refusal(call: object) -> Reason:
    """Why a call is refused."""
    with pytest.raises(SomaError) as refused:
        await call  # type: ignore[misc]
    return refused.value.reason


async def test_two_tenants_have_the_same_id_and_see_their_own(registry: Registry, catalog: Catalog) -> None:
    await registry.register(ACME, replace(D2, description="a"))
    await registry.register(UMBRELLA, replace(D2, description="u"))
    assert await seen(registry, ACME) == [("acme", "a")]
    assert await seen(registry, UMBRELLA) == [("umbrella", "u")]
    assert registry.get(ACME, "d2@local").description == "a"
    found = await find(catalog, requirements(), "umbrella")
    assert [item.description for item in found.candidates] == ["u"]


async def test_an_id_that_is_free_and_one_that_another_took_are_answered_alike(registry: Registry) -> None:
    await registry.register(UMBRELLA, D2)
    assert (await registry.register(ACME, D2)).version == 1
    assert await refusal(registry.register(ACME, replace(D2, tool_id="x", version=3))) is Reason.STALE_VERSION
    assert await refusal(registry.delete(ACME, "none@local")) is Reason.NOT_FOUND
    assert await refusal(registry.delete(Requester("third", "c"), "d2@local")) is Reason.NOT_FOUND


async def test_what_ships_later_is_active_whatever_a_tenant_did_with_its_id(
    registry: Registry, catalog: Catalog
) -> None:
    await registry.register(ACME, replace(D2, lifecycle=Lifecycle.DISABLED, description="squatter"))
    shipped = await registry.register(EXECUTOR, replace(D2, description="platform"))
    assert (shipped.lifecycle, shipped.tenant_id, shipped.version) == (Lifecycle.ACTIVE, "", 1)
    for tenant in (ACME, UMBRELLA):
        assert registry.get(tenant, "d2@local").description == "platform"
        found = await find(catalog, requirements(), tenant.tenant_id)
        assert [item.description for item in found.candidates] == ["platform"]
        assert await seen(registry, tenant) == [("", "platform")]


async def test_a_platform_id_that_a_tenant_cannot_see_is_free_for_it(registry: Registry) -> None:
    await registry.register(OPERATOR, replace(D2, allow=AllowLists(tenants=("umbrella",)), description="platform"))
    await registry.register(ACME, replace(D2, description="a"))
    assert await seen(registry, ACME) == [("acme", "a")]
    assert await seen(registry, UMBRELLA) == [("", "platform")]


async def test_a_platform_id_that_a_tenant_sees_is_taken(registry: Registry) -> None:
    await registry.register(OPERATOR, D2)
    assert await refusal(registry.register(ACME, D2)) is Reason.PERMISSION_DENIED
    assert await refusal(registry.delete(ACME, "d2@local")) is Reason.PERMISSION_DENIED
    assert await refusal(registry.update(ACME, "d2@local", D2, ["tags"])) is Reason.PERMISSION_DENIED


async def test_a_tenant_changes_and_deletes_its_own_behind_the_platforms(registry: Registry) -> None:
    await registry.register(ACME, D2)
    await registry.register(EXECUTOR, replace(D2, description="platform"))
    await registry.update(ACME, "d2@local", replace(D2, description="mine"), ["description"])
    assert registry.get(ACME, "d2@local", owner="acme").description == "mine"
    await registry.delete(ACME, "d2@local")
    assert registry.get(OPERATOR, "d2@local").description == "platform"
    assert await refusal(registry.delete(ACME, "d2@local")) is Reason.PERMISSION_DENIED


async def test_another_owner_cannot_be_named(registry: Registry) -> None:
    await registry.register(UMBRELLA, D2)
    for call in (
        registry.update(ACME, "d2@local", D2, ["tags"], owner="umbrella"),
        registry.delete(ACME, "d2@local", owner="umbrella"),
        registry.disable(ACME, "d2@local", owner="umbrella"),
        registry.reset_failures(ACME, "d2@local", owner="umbrella"),
    ):
        assert await refusal(call) is Reason.NOT_FOUND
    with pytest.raises(SomaError) as refused:
        registry.get(ACME, "d2@local", owner="umbrella")
    assert refused.value.reason is Reason.NOT_FOUND


async def test_operators_name_the_owner(registry: Registry) -> None:
    await registry.register(ACME, replace(D2, description="a"))
    assert registry.get(OPERATOR, "d2@local").description == "a"
    await registry.register(UMBRELLA, replace(D2, description="u"))
    with pytest.raises(SomaError) as refused:
        registry.get(OPERATOR, "d2@local")
    assert refused.value.reason is Reason.NOT_FOUND
    disabled = await registry.disable(OPERATOR, "d2@local", owner="umbrella")
    assert (disabled.tenant_id, disabled.allow.tenants) == ("umbrella", ("umbrella",))
    assert await seen(registry, OPERATOR) == [("acme", "a"), ("umbrella", "u")]


async def test_pages_of_operators_cover_all_owners_once(registry: Registry) -> None:
    for requester in (OPERATOR, ACME, UMBRELLA):
        for tool in ("a", "b"):
            await registry.register(requester, replace(D2, tool_id=tool, provider=requester.tenant_id))
    found, token = [], ""
    while True:
        page = registry.list(OPERATOR, CapabilityFilter(), 2, token)
        found += [item.capability_id for item in page.items]
        token = page.next_token
        if not token:
            break
    assert found == sorted(found)
    assert len(set(found)) == 6


async def test_health_is_reported_for_each_owner(registry: Registry) -> None:
    await registry.register(ACME, D2)
    await registry.register(UMBRELLA, D2)
    await registry.report_health(CapabilityKey("d2@local", "acme"), OPEN)
    assert registry.get(ACME, "d2@local").health.circuit_open
    assert not registry.get(UMBRELLA, "d2@local").health.circuit_open
    report = registry.report_health(CapabilityKey("d2@local"), OPEN)
    assert await refusal(report) is Reason.NOT_FOUND


async def test_a_report_about_the_platforms_never_falls_on_a_private_one(registry: Registry) -> None:
    await registry.register(OPERATOR, D2)
    await registry.delete(OPERATOR, "d2@local")
    await registry.register(ACME, D2)
    report = registry.report_health(CapabilityKey("d2@local"), OPEN)
    assert await refusal(report) is Reason.NOT_FOUND
    assert not registry.get(ACME, "d2@local").health.circuit_open


async def test_a_tenants_ladder_knows_what_the_tenant_sees(registry: Registry) -> None:
    await registry.register(UMBRELLA, D2)
    ladder = Ladder(LadderKey(Modality.DIAGRAM, "image_diagram"), ("d2@local",))
    assert await refusal(registry.ladders.set(ACME, ladder)) is Reason.INVALID_ARGUMENT
    await registry.ladders.set(UMBRELLA, ladder)
    again = await registry.ladders.set(UMBRELLA, ladder)
    assert again.version == 1


async def test_the_metric_shows_no_private_names(registry: Registry) -> None:
    await registry.register(ACME, replace(D2, tool_id="secret-project", provider="acme"))
    await registry.register(UMBRELLA, replace(D2, tool_id="other-secret", provider="umbrella"))
    await registry.register(OPERATOR, D2)
    await registry.report_health(CapabilityKey("secret-project@acme", "acme"), Report(HealthState.DEGRADED))
    shown = prometheus_client.generate_latest().decode()
    assert "secret-project" not in shown
    assert "other-secret" not in shown
    assert value(PRIVATE, PRIVATE) == 2
    await registry.delete(ACME, "secret-project@acme")
    assert value(PRIVATE, PRIVATE) == 0
    assert value("d2", "local") == 0
    await registry.delete(OPERATOR, "d2@local")
    assert value("d2", "local") is None


def value(tool_id: str, provider: str) -> float | None:
    """The value of the series of these labels."""
    labels = {"tool_id": tool_id, "provider": provider}
    return prometheus_client.REGISTRY.get_sample_value("capability_health_status", labels)
