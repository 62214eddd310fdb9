"""CapabilityService: convert, call, convert back."""

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
from svc_registry.domain import CONFIRM_WITHIN_S, Actor, CapabilityKey, HealthState, LadderKey, Report
from svc_registry.rpc.convert import (
    capability_from,
    capability_to_proto,
    health_state_from,
    kind_from,
    ladder_from,
    ladder_to_proto,
    modality_from,
)
from svc_registry.rpc.watch_stream import WatchStream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    import grpc.aio

    from mesh.rpc.heartbeats import Heartbeats
    from soma.registry.v1 import capability_pb2, ladder_pb2
    from svc_registry.app import Catalog, Registry
    from svc_registry.domain import Capability

    Find = Callable[[pb.FindCandidatesRequest], Awaitable[pb.FindCandidatesResponse]]

PLATFORM_ROLES = frozenset({"platform_admin", SERVICE_ROLE})


def _actor() -> Actor:
    who = caller()
    roles = set(who.roles)
    return Actor(who.tenant_id, who.subject, platform=bool(PLATFORM_ROLES & roles), service=SERVICE_ROLE in roles)


def _shown(item: Capability) -> capability_pb2.Capability:
    """The message of a capability as the caller may see it."""
    return capability_to_proto(item.shown_to(_actor()))


class CapabilityServicer(CapabilityServiceServicer):
    """Serves the registry's use cases. A watch that has no news sends heartbeats. `find` asks the selector."""

    def __init__(
        self, registry: Registry, catalog: Catalog, find: Find, heartbeats: Heartbeats = DEFAULT_HEARTBEATS
    ) -> None:
        self._registry = registry
        self._catalog = catalog
        self._find = find
        self._heartbeats = heartbeats

    async def RegisterCapability(
        self, request: pb.RegisterCapabilityRequest, context: grpc.aio.ServicerContext
    ) -> capability_pb2.Capability:
        """Registers or replaces a capability."""
        submitted = await asyncio.to_thread(capability_from, request.capability)  # its schemas may be large
        return _shown(await self._registry.register(_actor(), submitted, await request_key(request)))

    async def GetCapability(
        self, request: pb.GetCapabilityRequest, context: grpc.aio.ServicerContext
    ) -> capability_pb2.Capability:
        """Reads one capability."""
        return _shown(self._registry.get(_actor(), request.capability_id, owner=request.owner_tenant_id))

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
        page = self._registry.list(_actor(), wanted, page_size(request), request.page_token)
        found = within_bytes(map(_shown, page.items))
        token = page.next_token if len(found) == len(page.items) else capability_token(page.items[len(found) - 1])
        return pb.ListCapabilitiesResponse(capabilities=found, next_page_token=token)

    async def UpdateCapability(
        self, request: pb.UpdateCapabilityRequest, context: grpc.aio.ServicerContext
    ) -> capability_pb2.Capability:
        """Changes the fields of the mask."""
        submitted = await asyncio.to_thread(capability_from, request.capability)  # its schemas may be large
        updated = await self._registry.update(
            _actor(),
            request.capability_id,
            submitted,
            list(request.update_mask.paths),
            await request_key(request),
            owner=request.owner_tenant_id,
        )
        return _shown(updated)

    async def DisableCapability(
        self, request: pb.DisableCapabilityRequest, context: grpc.aio.ServicerContext
    ) -> capability_pb2.Capability:
        """Takes a capability out of later choices."""
        disabled = await self._registry.disable(
            _actor(), request.capability_id, await request_key(request), owner=request.owner_tenant_id
        )
        return _shown(disabled)

    async def DeleteCapability(
        self, request: pb.DeleteCapabilityRequest, context: grpc.aio.ServicerContext
    ) -> capability_pb2.Capability:
        """Deletes a capability."""
        deleted = await self._registry.delete(
            _actor(), request.capability_id, request.version, await request_key(request), owner=request.owner_tenant_id
        )
        return _shown(deleted)

    async def FindCandidates(
        self, request: pb.FindCandidatesRequest, context: grpc.aio.ServicerContext
    ) -> pb.FindCandidatesResponse:
        """Hands on to the selector, which judges."""
        return await self._find(request)

    async def ReportHealth(
        self, request: pb.ReportHealthRequest, context: grpc.aio.ServicerContext
    ) -> capability_pb2.Capability:
        """Folds a report into a capability's health."""
        state = health_state_from(request.state) or HealthState.UNKNOWN
        report = Report(
            state,
            request.reason,
            request.circuit_open,
            request.reporter,
            request.confirm_within_seconds or CONFIRM_WITHIN_S,
        )
        key = CapabilityKey(request.capability_id, request.owner_tenant_id)
        item = await self._registry.report_health(key, report)
        return _shown(item)

    async def ResetFailures(
        self, request: pb.ResetFailuresRequest, context: grpc.aio.ServicerContext
    ) -> capability_pb2.Capability:
        """Forgets failures."""
        item = await self._registry.reset_failures(
            _actor(), request.capability_id, await request_key(request), owner=request.owner_tenant_id
        )
        return _shown(item)

    async def GetLadder(self, request: pb.GetLadderRequest, context: grpc.aio.ServicerContext) -> ladder_pb2.Ladder:
        """Reads the ladder in force."""
        key = LadderKey(modality_from(request.modality), request.task_type)
        return ladder_to_proto(self._registry.ladders.get(_actor(), key))

    async def ListLadders(
        self, request: pb.ListLaddersRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListLaddersResponse:
        """Lists the ladders in force."""
        page = self._registry.ladders.list(_actor(), page_size(request), request.page_token)
        found = within_bytes(map(ladder_to_proto, page.items))
        token = page.next_token if len(found) == len(page.items) else ladder_token(page.items[len(found) - 1])
        return pb.ListLaddersResponse(ladders=found, next_page_token=token)

    async def SetLadder(self, request: pb.SetLadderRequest, context: grpc.aio.ServicerContext) -> ladder_pb2.Ladder:
        """Sets the tenant's own ladder."""
        key = await request_key(request)
        return ladder_to_proto(await self._registry.ladders.set(_actor(), ladder_from(request.ladder), key))

    async def WatchCapabilities(
        self, request: pb.WatchCapabilitiesRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[pb.WatchCapabilitiesResponse]:
        """Sends a snapshot, then changes and heartbeats; starts anew with a snapshot where changes were lost."""
        stream = WatchStream(self._catalog, self._heartbeats)
        async for message in stream.messages(request.resume_token):
            yield message
