"""What may be offered to the registry, and how what may not is told."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from mesh.context import Caller, RequestContext, use
from mesh.errors import Reason, SomaError
from mesh.testing import FakeClock
from soma.registry.v1 import capability_pb2
from soma.registry.v1 import capability_service_pb2 as pb
from svc_registry.app import Catalog, Registry
from svc_registry.domain import Capability, Kind, Modality, Price, PriceList, PriceUnit, Requester
from svc_registry.rpc import CapabilityServicer
from svc_registry.rpc.convert import capability_from_proto, capability_to_proto
from tests.unit.registry.unasked import unasked

if TYPE_CHECKING:
    from tests.in_memory.registry import MemoryStore

OPERATOR = Requester("ops", "root", is_platform=True)
D2 = Capability("d2", "local", Kind.TOOL, (Modality.DIAGRAM,), ("image_diagram",), expected_latency_ms=400)
LATER = PriceList("2030", FakeClock().now() + timedelta(days=1), (Price(PriceUnit.CALL, 7),))


@pytest.fixture
async def registry(store: MemoryStore, catalog: Catalog, clock: FakeClock) -> Registry:
    built = Registry(store, catalog, clock)
    await built.register(OPERATOR, D2)
    return built


async def update(registry: Registry, catalog: Catalog, *paths: str) -> capability_pb2.Capability:
    """What a client gets that changes these fields to another offer's."""
    offer = capability_to_proto(replace(D2, expected_latency_ms=900, description="new"))
    request = pb.UpdateCapabilityRequest(capability_id="d2@local", capability=offer)
    request.update_mask.paths.extend(paths)
    who = Caller("ops", "root", ("platform_admin",), (), "k", "t")
    with use(RequestContext(who, "r", "t", None)):
        return await CapabilityServicer(registry, catalog, unasked).UpdateCapability(request, None)  # type: ignore[arg-type]


async def refusal(registry: Registry, catalog: Catalog, *paths: str) -> str:
    """What is said against an update."""
    with pytest.raises(SomaError) as refused:
        await update(registry, catalog, *paths)
    [violation] = refused.value.fields
    assert violation.field == "update_mask"
    return violation.description


async def test_the_expected_latency_changes_by_its_name_in_the_api(registry: Registry, catalog: Catalog) -> None:
    changed = await update(registry, catalog, "expected_latency")
    assert (changed.expected_latency.ToMilliseconds(), changed.description) == (900, "")


async def test_what_may_change_is_listed_by_the_names_of_the_api(registry: Registry, catalog: Catalog) -> None:
    told = await refusal(registry, catalog, "nothing")
    listed = told.partition("possible: ")[2].split(", ")
    assert "expected_latency" in listed
    assert set(listed) <= set(capability_pb2.Capability.DESCRIPTOR.fields_by_name)


async def test_a_name_that_the_api_does_not_have_is_refused(registry: Registry, catalog: Catalog) -> None:
    assert "'expected_latency_ms' cannot be changed" in await refusal(registry, catalog, "expected_latency_ms")


async def test_part_of_a_field_is_refused_with_the_whole_to_send(registry: Registry, catalog: Catalog) -> None:
    assert "name 'price_list' and send all of it" in await refusal(registry, catalog, "price_list.version")


async def test_prices_of_the_future_are_refused_and_those_in_force_stay(registry: Registry) -> None:
    for attempt in (
        registry.register(OPERATOR, replace(D2, price_list=LATER)),
        registry.update(OPERATOR, "d2@local", replace(D2, price_list=LATER), ["price_list"]),
    ):
        with pytest.raises(SomaError) as refused:
            await attempt
        assert refused.value.reason is Reason.INVALID_ARGUMENT
        assert refused.value.fields[0].field == "capability.price_list.effective_time"
    assert registry.get(OPERATOR, "d2@local").price_list == D2.price_list


async def test_prices_are_taken_once_they_are_in_effect(registry: Registry, clock: FakeClock) -> None:
    await clock.advance(timedelta(days=1).total_seconds())
    assert (await registry.register(OPERATOR, replace(D2, price_list=LATER))).price_list == LATER


def test_fine_prices_survive_the_way_through_the_api() -> None:
    offer = replace(D2, price_list=PriceList(prices=(Price(PriceUnit.INPUT_TOKEN, 1, 150_000),)))
    assert capability_from_proto(capability_to_proto(offer)).price_list == offer.price_list
