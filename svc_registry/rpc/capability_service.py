"""The gRPC service CapabilityService."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mesh.context import caller
from mesh.identity import SERVICE_ROLE
from mesh.rpc.heartbeats import DEFAULT_HEARTBEATS
from mesh.rpc.paging import page_size
from mesh.rpc.request_keys import request_key
from mesh.rpc.sizes import within_bytes
from soma.registry.v1 import capability_service_pb2 as pb
from soma.registry.v1.capability_service_pb2_grpc import CapabilityServiceServicer
from svc_registry.app.ladders import ladder_token
from svc_registry.app.ports import CapabilityFilter
from svc_registry.app.registry import capability_token
from svc_registry.domain import CONFIRM_WITHIN_S, CapabilityKey, HealthState, LadderKey, Report, Requester
from svc_registry.rpc.convert import (
    capability_from_proto,
    health_state_from_proto,
    kind_from_proto,
    ladder_from_proto,
    ladder_to_proto,
    modality_from_proto,
    redacted_capability_to_proto,
)
from svc_registry.rpc.watch_stream import WatchStream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    import grpc.aio

    from mesh.rpc.heartbeats import Heartbeats
    from soma.registry.v1 import capability_pb2, ladder_pb2
    from svc_registry.app import Catalog, Registry

    FindCandidates = Callable[[pb.FindCandidatesRequest], Awaitable[pb.FindCandidatesResponse]]

PLATFORM_ROLES = frozenset({"platform_admin", SERVICE_ROLE})


def _requester() -> Requester:
    current = caller()
    roles = set(current.roles)
    return Requester(
        current.tenant_id,
        current.subject,
        is_platform=bool(PLATFORM_ROLES & roles),
        is_service=SERVICE_ROLE in roles,
    )


class CapabilityServicer(CapabilityServiceServicer):
    """Serves the use cases of the registry. `find_candidates` calls the selector."""

    def __init__(
        self,
        registry: Registry,
        catalog: Catalog,
        find_candidates: FindCandidates,
        heartbeats: Heartbeats = DEFAULT_HEARTBEATS,
    ) -> None:
        self._registry = registry
        self._catalog = catalog
        self._find_candidates = find_candidates
        self._heartbeats = heartbeats

    async def RegisterCapability(
        self, request: pb.RegisterCapabilityRequest, context: grpc.aio.ServicerContext
    ) -> capability_pb2.Capability:
        """Registers or replaces a capability."""
        submitted = await asyncio.to_thread(capability_from_proto, request.capability)  # its schemas may be large
        registered = await self._registry.register(_requester(), submitted, await request_key(request))
        return redacted_capability_to_proto(registered, _requester())

    async def GetCapability(
        self, request: pb.GetCapabilityRequest, context: grpc.aio.ServicerContext
    ) -> capability_pb2.Capability:
        """Reads one capability."""
        capability = self._registry.get(_requester(), request.capability_id, owner=request.owner_tenant_id)
        return redacted_capability_to_proto(capability, _requester())

    async def ListCapabilities(
        self, request: pb.ListCapabilitiesRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListCapabilitiesResponse:
        """Lists capabilities."""
        filter_ = CapabilityFilter(
            modality=modality_from_proto(request.modality) if request.modality else None,
            task_type=request.task_type,
            kind=kind_from_proto(request.kind),
            provider=request.provider,
            health_state=health_state_from_proto(request.health_state),
            adapter=request.adapter,
            include_disabled=request.include_disabled,
        )
        requester = _requester()
        page = self._registry.list(requester, filter_, page_size(request), request.page_token)
        messages = within_bytes(redacted_capability_to_proto(capability, requester) for capability in page.items)
        complete = len(messages) == len(page.items)
        token = page.next_token if complete else capability_token(page.items[len(messages) - 1])
        return pb.ListCapabilitiesResponse(capabilities=messages, next_page_token=token)

    async def UpdateCapability(
        self, request: pb.UpdateCapabilityRequest, context: grpc.aio.ServicerContext
    ) -> capability_pb2.Capability:
        """Changes the fields of the update mask."""
        submitted = await asyncio.to_thread(capability_from_proto, request.capability)  # its schemas may be large
        updated = await self._registry.update(
            _requester(),
            request.capability_id,
            submitted,
            list(request.update_mask.paths),
            await request_key(request),
            owner=request.owner_tenant_id,
        )
        return redacted_capability_to_proto(updated, _requester())

    async def DisableCapability(
        self, request: pb.DisableCapabilityRequest, context: grpc.aio.ServicerContext
    ) -> capability_pb2.Capability:
        """Disables a capability."""
        disabled = await self._registry.disable(
            _requester(), request.capability_id, await request_key(request), owner=request.owner_tenant_id
        )
        return redacted_capability_to_proto(disabled, _requester())

    async def DeleteCapability(
        self, request: pb.DeleteCapabilityRequest, context: grpc.aio.ServicerContext
    ) -> capability_pb2.Capability:
        """Deletes a capability."""
        deleted = await self._registry.delete(
            _requester(),
            request.capability_id,
            request.version,
            await request_key(request),
            owner=request.owner_tenant_id,
        )
        return redacted_capability_to_proto(deleted, _requester())

    async def FindCandidates(
        self, request: pb.FindCandidatesRequest, context: grpc.aio.ServicerContext
    ) -> pb.FindCandidatesResponse:
        """Forwards the request to the selector, which evaluates the candidates."""
        return await self._find_candidates(request)

    async def ReportHealth(
        self, request: pb.ReportHealthRequest, context: grpc.aio.ServicerContext
    ) -> capability_pb2.Capability:
        """Applies a report to the health of a capability."""
        state = health_state_from_proto(request.state) or HealthState.UNKNOWN
        report = Report(
            state,
            request.reason,
            request.circuit_open,
            request.reporter,
            request.confirm_within_seconds or CONFIRM_WITHIN_S,
        )
        key = CapabilityKey(request.capability_id, request.owner_tenant_id)
        capability = await self._registry.report_health(key, report)
        return redacted_capability_to_proto(capability, _requester())

    async def ResetFailures(
        self, request: pb.ResetFailuresRequest, context: grpc.aio.ServicerContext
    ) -> capability_pb2.Capability:
        """Resets the failures of a capability."""
        capability = await self._registry.reset_failures(
            _requester(), request.capability_id, await request_key(request), owner=request.owner_tenant_id
        )
        return redacted_capability_to_proto(capability, _requester())

    async def GetLadder(self, request: pb.GetLadderRequest, context: grpc.aio.ServicerContext) -> ladder_pb2.Ladder:
        """Reads the effective ladder."""
        key = LadderKey(modality_from_proto(request.modality), request.task_type)
        return ladder_to_proto(self._registry.ladders.get(_requester(), key))

    async def ListLadders(
        self, request: pb.ListLaddersRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListLaddersResponse:
        """Lists the effective ladders."""
        page = self._registry.ladders.list(_requester(), page_size(request), request.page_token)
        messages = within_bytes(map(ladder_to_proto, page.items))
        complete = len(messages) == len(page.items)
        token = page.next_token if complete else ladder_token(page.items[len(messages) - 1])
        return pb.ListLaddersResponse(ladders=messages, next_page_token=token)

    async def SetLadder(self, request: pb.SetLadderRequest, context: grpc.aio.ServicerContext) -> ladder_pb2.Ladder:
        """Sets the ladder of the caller's tenant."""
        key = await request_key(request)
        return ladder_to_proto(await self._registry.ladders.set(_requester(), ladder_from_proto(request.ladder), key))

    async def WatchCapabilities(
        self, request: pb.WatchCapabilitiesRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[pb.WatchCapabilitiesResponse]:
        """Sends a snapshot, then changes and heartbeats; sends a new snapshot when changes have left the history."""
        stream = WatchStream(self._catalog, self._heartbeats)
        async for message in stream.messages(request.resume_token):
            yield message
