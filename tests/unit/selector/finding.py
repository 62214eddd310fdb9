"""What FindCandidates answers of what is registered: a registry, and a selector that has heard all of it."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, cast

from mesh.context import Caller, RequestContext, use
from mesh.rpc.heartbeats import DEFAULT_HEARTBEATS
from soma.registry.v1 import capability_service_pb2 as pb
from svc_registry.rpc.watch_stream import WatchStream
from svc_selector.adapters.peers.capabilities import CapabilityReader, ladders_from_proto
from svc_selector.domain.permissions import Permissions
from svc_selector.rpc import SelectionConverter, SelectorServicer
from tests.unit.selector.selecting import SelectorHarness, selector_harness

if TYPE_CHECKING:
    import grpc.aio

    from svc_registry.app import Catalog
    from svc_selector.adapters.catalog import LadderKey
    from svc_selector.domain.model import Candidate, Ladder

CALL = cast("grpc.aio.ServicerContext", None)


def requirements(modality: str = "diagram", task_type: str = "image_diagram", **fields: object) -> pb.Requirements:
    """A need; by default that of a diagram."""
    made = pb.Requirements(modality=f"MODALITY_{modality.upper()}", task_type=task_type)  # type: ignore[arg-type]
    made.MergeFrom(pb.Requirements(**fields))  # type: ignore[arg-type]
    return made


async def heard(registered: Catalog) -> SelectorHarness:
    """A selector that has taken over the snapshot of a registry."""
    candidates: list[Candidate] = []
    ladders: dict[LadderKey, Ladder] = {}
    async with aclosing(WatchStream(registered, DEFAULT_HEARTBEATS).messages("")) as messages:  # type: ignore[type-var]
        async for message in messages:
            candidates += (await CapabilityReader().read(message.capabilities)).candidates
            ladders |= ladders_from_proto(message.ladders)
            if message.complete:
                break
    made = selector_harness([])
    made.catalog.replace_all(candidates, ladders)
    return made


async def ask(
    made: SelectorHarness, need: pb.Requirements, tenant_id: str = "acme", role: str = "viewer"
) -> pb.FindCandidatesResponse:
    """What a caller is answered by a selector; its tenant has the plan "pro" unless told otherwise."""
    made.gateway.permissions.setdefault(tenant_id, Permissions("pro"))
    servicer = SelectorServicer(made.selector, SelectionConverter())
    with use(RequestContext(Caller(tenant_id, "someone", (role,), (), "", "token"), "r", "t")):
        return await servicer.FindCandidates(pb.FindCandidatesRequest(requirements=need), CALL)


async def find(
    registered: Catalog, need: pb.Requirements, tenant_id: str = "acme", role: str = "viewer"
) -> pb.FindCandidatesResponse:
    """What a caller is answered of what a registry has."""
    return await ask(await heard(registered), need, tenant_id, role)


def ids(answer: pb.FindCandidatesResponse) -> list[str]:
    """The candidates, best first."""
    return [item.capability_id for item in answer.candidates]


def codes(answer: pb.FindCandidatesResponse) -> dict[str, str]:
    """The code against each capability that was left out."""
    return {item.capability_id: item.code for item in answer.left_out}
