"""DegradationService: convert, call, convert back."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from mesh.rpc.heartbeats import DEFAULT_HEARTBEATS
from soma.gateway.v1 import health_service_pb2 as pb
from soma.gateway.v1 import health_service_pb2_grpc as pb_grpc
from svc_gateway.rpc.convert import component_to_proto, status_to_proto

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import grpc.aio

    from mesh.rpc.heartbeats import Heartbeats
    from svc_gateway.app.health_monitor import HealthMonitor
    from svc_gateway.domain.degradation import Report

    Context = grpc.aio.ServicerContext[object, object]


class DegradationServicer(pb_grpc.DegradationServiceServicer):
    """How degraded the mesh is."""

    def __init__(self, monitor: HealthMonitor, version: str, heartbeats: Heartbeats = DEFAULT_HEARTBEATS) -> None:
        self._monitor = monitor
        self._version = version
        self._heartbeats = heartbeats

    async def GetStatus(self, request: pb.GetStatusRequest, context: Context) -> pb.Status:
        """Returns the level of the whole mesh."""
        return status_to_proto(self._monitor.report, self._version)

    async def ListComponents(self, request: pb.ListComponentsRequest, context: Context) -> pb.ListComponentsResponse:
        """Returns the state of each component."""
        return pb.ListComponentsResponse(components=map(component_to_proto, self._monitor.report.components))

    async def WatchStatus(self, request: pb.WatchStatusRequest, context: Context) -> AsyncIterator[pb.Status]:
        """Streams the status now, at each change, and as a heartbeat."""

        async def unchanged() -> Report:
            return self._monitor.report

        async with aclosing(self._heartbeats.add_to(self._monitor.watch(), unchanged)) as reports:
            async for report in reports:
                yield status_to_proto(report, self._version)
