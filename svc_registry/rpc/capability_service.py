"""CapabilityService: convert, call, convert back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.context import caller
from mesh.identity import SERVICE_ROLE
from soma.registry.v1 import capability_service_pb2 as pb
from soma.registry.v1.capability_service_pb2_grpc import CapabilityServiceServicer
from svc_registry.domain import Actor, CapabilityFilter, HealthState, LadderKey
from svc_registry.rpc.convert import (
    capability_from,
    capability_to_proto,
    health_state_from,
    kind_from,
    ladder_from,
    ladder_to_proto,
    modality_from,
    requirements_from,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    import grpc.aio

    from soma.registry.v1 import capability_pb2, ladder_pb2
    from svc_registry.app import Catalog, Change, Registry, View

PLATFORM_ROLES = frozenset({"platform_admin", SERVICE_ROLE})
SNAPSHOT_CHUNK = 200


def _actor() -> Actor:
    who = caller()
    roles = set(who.roles)
    return Actor(who.tenant_id, who.subject, platform=bool(PLATFORM_ROLES & roles), service=SERVICE_ROLE in roles)


class CapabilityServicer(CapabilityServiceServicer):
    """Serves the registry's use cases."""

    def __init__(self, registry: Registry, catalog: Catalog) -> None:
        self._registry = registry
        self._catalog = catalog

    async def RegisterCapability(
        self, request: pb.RegisterCapabilityRequest, context: grpc.aio.ServicerContext
    ) -> capability_pb2.Capability:
        """Registers or replaces a capability."""
        offered = capability_from(request.capability)
        return capability_to_proto(await self._registry.register(_actor(), offered, request.request_id))

    async def GetCapability(
        self, request: pb.GetCapabilityRequest, context: grpc.aio.ServicerContext
    ) -> capability_pb2.Capability:
        """Reads one capability."""
        return capability_to_proto(self._registry.get(_actor(), request.capability_id))

    async def ListCapabilities(
        self, request: pb.ListCapabilitiesRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListCapabilitiesResponse:
        """Lists capabilities."""
        wanted = CapabilityFilter(
            modality=modality_from(request.modality) if request.modality else None,
            task_type=request.task_type,
            kind=kind_from(request.kind),
            provider=request.provider,
            health_state=health_state_from(request.health_state),
            adapter=request.adapter,
            include_disabled=request.include_disabled,
        )
        page = self._registry.list(_actor(), wanted, request.page_size, request.page_token)
        found = [capability_to_proto(item) for item in page.items]
        return pb.ListCapabilitiesResponse(capabilities=found, next_page_token=page.next_token)

    async def UpdateCapability(
        self, request: pb.UpdateCapabilityRequest, context: grpc.aio.ServicerContext
    ) -> capability_pb2.Capability:
        """Changes the fields of the mask."""
        offered = capability_from(request.capability)
        updated = await self._registry.update(_actor(), request.capability_id, offered, list(request.update_mask.paths))
        return capability_to_proto(updated)

    async def DisableCapability(
        self, request: pb.DisableCapabilityRequest, context: grpc.aio.ServicerContext
    ) -> capability_pb2.Capability:
        """Takes a capability out of later choices."""
        return capability_to_proto(await self._registry.disable(_actor(), request.capability_id))

    async def FindCandidates(
        self, request: pb.FindCandidatesRequest, context: grpc.aio.ServicerContext
    ) -> pb.FindCandidatesResponse:
        """Says who could serve, and why the others could not."""
        able, left_out = await self._registry.find(_actor(), requirements_from(request.requirements))
        return pb.FindCandidatesResponse(
            candidates=[capability_to_proto(item) for item in able],
            left_out=[pb.LeftOut(capability_id=o.capability_id, code=o.code, reason=o.reason) for o in left_out],
        )

    async def ReportHealth(
        self, request: pb.ReportHealthRequest, context: grpc.aio.ServicerContext
    ) -> capability_pb2.Capability:
        """Folds a report into a capability's health."""
        state = health_state_from(request.state) or HealthState.UNKNOWN
        item = await self._registry.report_health(
            request.capability_id, state, request.reason, circuit_open=request.circuit_open
        )
        return capability_to_proto(item)

    async def ResetFailures(
        self, request: pb.ResetFailuresRequest, context: grpc.aio.ServicerContext
    ) -> capability_pb2.Capability:
        """Forgets failures."""
        return capability_to_proto(await self._registry.reset_failures(_actor(), request.capability_id))

    async def GetLadder(self, request: pb.GetLadderRequest, context: grpc.aio.ServicerContext) -> ladder_pb2.Ladder:
        """Reads the ladder in force."""
        key = LadderKey(modality_from(request.modality), request.task_type)
        return ladder_to_proto(self._registry.ladder(_actor(), key))

    async def ListLadders(
        self, request: pb.ListLaddersRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListLaddersResponse:
        """Lists the ladders in force."""
        page = self._registry.ladders(_actor(), request.page_size, request.page_token)
        found = [ladder_to_proto(item) for item in page.items]
        return pb.ListLaddersResponse(ladders=found, next_page_token=page.next_token)

    async def SetLadder(self, request: pb.SetLadderRequest, context: grpc.aio.ServicerContext) -> ladder_pb2.Ladder:
        """Sets the tenant's own ladder."""
        return ladder_to_proto(await self._registry.set_ladder(_actor(), ladder_from(request.ladder)))

    async def WatchCapabilities(
        self, request: pb.WatchCapabilitiesRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[pb.WatchCapabilitiesResponse]:
        """Sends a snapshot, then changes; starts anew with a snapshot where changes were lost."""
        subscription = self._catalog.subscribe(self._resume(request.resume_token))
        while True:
            if subscription is None:
                view = self._catalog.view()
                for message in self._snapshot(view):
                    yield message
                subscription = self._catalog.subscribe(view.revision)
                continue
            changes = await subscription.next()
            if changes is None:
                subscription = None
                continue
            yield self._delta(changes)

    def _resume(self, token: str) -> int:
        epoch, _, revision = token.partition(":")
        return int(revision) if epoch == self._catalog.epoch and revision.isdecimal() else -1

    def _token(self, revision: int) -> str:
        return f"{self._catalog.epoch}:{revision}"

    def _snapshot(self, view: View) -> Iterator[pb.WatchCapabilitiesResponse]:
        items = list(view.capabilities)
        starts = range(0, max(len(items), 1), SNAPSHOT_CHUNK)
        for start in starts:
            last = start == starts[-1]
            ladders = [_owned(item.tenant_id, ladder_to_proto(item)) for item in view.ladders] if last else []
            yield pb.WatchCapabilitiesResponse(
                snapshot=True,
                complete=last,
                capabilities=[capability_to_proto(item) for item in items[start : start + SNAPSHOT_CHUNK]],
                ladders=ladders,
                resume_token=self._token(view.revision) if last else "",
            )

    def _delta(self, changes: Sequence[Change]) -> pb.WatchCapabilitiesResponse:
        capabilities = [capability_to_proto(change.capability) for change in changes if change.capability]
        ladders = [
            _owned(change.ladder.tenant_id, ladder_to_proto(change.ladder)) for change in changes if change.ladder
        ]
        return pb.WatchCapabilitiesResponse(
            complete=True,
            capabilities=capabilities,
            ladders=ladders,
            resume_token=self._token(changes[-1].revision),
        )


def _owned(tenant_id: str, ladder: ladder_pb2.Ladder) -> pb.OwnedLadder:
    return pb.OwnedLadder(tenant_id=tenant_id, ladder=ladder)
