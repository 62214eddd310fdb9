"""What a tenant is shown of a capability, and who answers what could be chosen."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

import pytest

from mesh.context import Caller, RequestContext, use
from soma.registry.v1 import capability_service_pb2 as pb
from svc_registry.app import Registry
from svc_registry.domain import AllowLists, Capability, Kind, Modality
from svc_registry.rpc import CapabilityServicer
from tests.unit.registry.unasked import unasked

if TYPE_CHECKING:
    from collections.abc import Sequence

    import grpc.aio

    from mesh.testing import FakeClock
    from svc_registry.app import Catalog
    from tests.in_memory.registry import MemoryStore

D2 = Capability("d2", "local", Kind.TOOL, (Modality.DIAGRAM,), ("image_diagram",), version=1)
SHARED = replace(D2, allow=AllowLists(tenants=("acme", "umbrella"), roles=("member",)))
CALL = cast("grpc.aio.ServicerContext", None)


@pytest.fixture
def registry(store: MemoryStore, catalog: Catalog, clock: FakeClock) -> Registry:
    return Registry(store, catalog, clock)


@pytest.fixture
def servicer(registry: Registry, catalog: Catalog) -> CapabilityServicer:
    return CapabilityServicer(registry, catalog, unasked)


def as_caller(tenant: str, role: str) -> RequestContext:
    return RequestContext(Caller(tenant, "someone", (role,), (), "", "token"), "r", "t")


async def tenants_shown(servicer: CapabilityServicer) -> list[Sequence[str]]:
    """The tenants in the allow-list of the capability, by each of the reads."""
    read = await servicer.GetCapability(pb.GetCapabilityRequest(capability_id="d2@local"), CALL)
    listed = await servicer.ListCapabilities(pb.ListCapabilitiesRequest(), CALL)
    return [list(item.allow.tenants) for item in (read, *listed.capabilities)]


@pytest.mark.parametrize("role", ["viewer", "admin"])
async def test_a_tenant_is_shown_no_name_of_another(servicer: CapabilityServicer, catalog: Catalog, role: str) -> None:
    await catalog._publish([SHARED], [])
    with use(as_caller("acme", role)):
        assert await tenants_shown(servicer) == [["acme"]] * 2
        read = await servicer.GetCapability(pb.GetCapabilityRequest(capability_id="d2@local"), CALL)
        assert list(read.allow.roles) == ["member"]


async def test_an_operator_is_shown_all_of_them(servicer: CapabilityServicer, catalog: Catalog) -> None:
    await catalog._publish([SHARED], [])
    with use(as_caller("acme", "platform_admin")):
        assert await tenants_shown(servicer) == [["acme", "umbrella"]] * 2


async def test_candidates_are_asked_of_the_selector(registry: Registry, catalog: Catalog) -> None:
    answer = pb.FindCandidatesResponse(left_out=[pb.LeftOut(capability_id="d2@local", code="UNHEALTHY")])
    requests = []

    async def selector(request: pb.FindCandidatesRequest) -> pb.FindCandidatesResponse:
        requests.append(request)
        return answer

    request = pb.FindCandidatesRequest(requirements={"task_type": "image_diagram"})  # type: ignore[arg-type]
    servicer = CapabilityServicer(registry, catalog, selector)
    assert await servicer.FindCandidates(request, CALL) == answer
    assert requests == [request]
