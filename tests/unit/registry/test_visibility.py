"""What a tenant is shown of a capability, and how large the answer of a search may be."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

import pytest

from mesh.context import Caller, RequestContext, use
from mesh.errors import SomaError
from soma.registry.v1 import capability_service_pb2 as pb
from svc_registry.app import Registry
from svc_registry.domain import AllowLists, Capability, Kind, Modality
from svc_registry.rpc import CapabilityServicer
from svc_registry.rpc.watch_stream import MESSAGE_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    import grpc.aio

    from mesh.testing import FakeClock
    from svc_registry.adapters.memory import MemoryStore
    from svc_registry.app import Catalog

D2 = Capability("d2", "local", Kind.TOOL, (Modality.DIAGRAM,), ("image_diagram",), version=1)
SHARED = replace(D2, allow=AllowLists(tenants=("acme", "umbrella"), roles=("member",)))
NEED = pb.Requirements(modality="MODALITY_DIAGRAM", task_type="image_diagram")
CALL = cast("grpc.aio.ServicerContext", None)


@pytest.fixture
def servicer(store: MemoryStore, catalog: Catalog, clock: FakeClock) -> CapabilityServicer:
    return CapabilityServicer(Registry(store, catalog, clock), catalog)


def as_caller(tenant: str, role: str) -> RequestContext:
    return RequestContext(Caller(tenant, "someone", (role,), (), "", "token"), "r", "t")


async def tenants_shown(servicer: CapabilityServicer) -> list[Sequence[str]]:
    """The tenants in the allow-list of the capability, by each of the reads."""
    read = await servicer.GetCapability(pb.GetCapabilityRequest(capability_id="d2@local"), CALL)
    listed = await servicer.ListCapabilities(pb.ListCapabilitiesRequest(), CALL)
    found = await servicer.FindCandidates(pb.FindCandidatesRequest(requirements=NEED), CALL)
    return [list(item.allow.tenants) for item in (read, *listed.capabilities, *found.candidates)]


@pytest.mark.parametrize("role", ["viewer", "admin"])
async def test_a_tenant_is_shown_no_name_of_another(servicer: CapabilityServicer, catalog: Catalog, role: str) -> None:
    await catalog._publish([SHARED], [])
    with use(as_caller("acme", role)):
        assert await tenants_shown(servicer) == [["acme"]] * 3
        read = await servicer.GetCapability(pb.GetCapabilityRequest(capability_id="d2@local"), CALL)
        assert list(read.allow.roles) == ["member"]


async def test_an_operator_is_shown_all_of_them(servicer: CapabilityServicer, catalog: Catalog) -> None:
    await catalog._publish([SHARED], [])
    with use(as_caller("acme", "platform_admin")):
        assert await tenants_shown(servicer) == [["acme", "umbrella"]] * 3


async def find(servicer: CapabilityServicer) -> pb.FindCandidatesResponse:
    with use(as_caller("acme", "viewer")):
        return await servicer.FindCandidates(pb.FindCandidatesRequest(requirements=NEED), CALL)


def many(count: int, task_type: str) -> list[Capability]:
    """So many capabilities of 20 kB each, told apart by their names."""
    large = replace(D2, description="x" * 20_000, task_types=(task_type,) * 200)
    return [replace(large, tool_id=f"{task_type}{number:04}") for number in range(count)]


async def test_candidates_beyond_a_message_are_cut(servicer: CapabilityServicer, catalog: Catalog) -> None:
    await catalog._publish([*many(300, "image_diagram"), *many(3, "other")], [])
    answer = await find(servicer)
    assert answer.ByteSize() <= MESSAGE_BYTES + 50_000
    assert answer.truncated
    names = [item.tool_id for item in answer.candidates]
    assert names == [f"image_diagram{number:04}" for number in range(len(names))]


async def test_reasons_beyond_a_message_are_cut(servicer: CapabilityServicer, catalog: Catalog) -> None:
    await catalog._publish([D2, *many(2_000, "other")], [])
    answer = await find(servicer)
    assert answer.ByteSize() <= MESSAGE_BYTES + 50_000
    assert ([item.tool_id for item in answer.candidates], answer.truncated) == (["d2"], True)


async def test_an_answer_that_fits_is_whole(servicer: CapabilityServicer, catalog: Catalog) -> None:
    await catalog._publish([D2, *many(3, "other")], [])
    answer = await find(servicer)
    assert (len(answer.candidates), len(answer.left_out), answer.truncated) == (1, 3, False)


@pytest.mark.parametrize("values", [[0.0] * 50_001, [float("nan")] * 200], ids=["too many", "not finite"])
async def test_parameters_that_cannot_be_checked_are_refused_by_name(
    servicer: CapabilityServicer, values: list[float]
) -> None:
    need = pb.Requirements(modality="MODALITY_DIAGRAM", task_type="image_diagram")
    need.params.update({"x": values})
    with use(as_caller("acme", "viewer")), pytest.raises(SomaError) as refused:
        await servicer.FindCandidates(pb.FindCandidatesRequest(requirements=need), CALL)
    assert [violation.field for violation in refused.value.fields] == ["requirements.params"]
