"""DegradationService and ApiService: convert, call, convert back."""

from __future__ import annotations

from contextlib import aclosing
from types import MappingProxyType
from typing import TYPE_CHECKING

from google.api import httpbody_pb2

from mesh.degradation import DegradationLevel
from mesh.rpc.heartbeats import DEFAULT_HEARTBEATS
from mesh.rpc.wellknown import timestamp
from soma.gateway.v1 import health_service_pb2 as pb
from soma.gateway.v1 import health_service_pb2_grpc as pb_grpc
from svc_gateway.domain.degradation import State

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    import grpc.aio

    from mesh.rpc.heartbeats import Heartbeats
    from svc_gateway.app.monitor import Monitor
    from svc_gateway.domain.degradation import Component, Report

    Context = grpc.aio.ServicerContext[object, object]

_JSON = "application/json"
_LEVELS: Mapping[DegradationLevel, pb.DegradationLevel.ValueType] = MappingProxyType(
    {
        DegradationLevel.UNKNOWN: pb.DEGRADATION_LEVEL_UNSPECIFIED,
        DegradationLevel.NONE: pb.DEGRADATION_LEVEL_NONE,
        DegradationLevel.MINOR: pb.DEGRADATION_LEVEL_MINOR,
        DegradationLevel.MODERATE: pb.DEGRADATION_LEVEL_MODERATE,
        DegradationLevel.SEVERE: pb.DEGRADATION_LEVEL_SEVERE,
        DegradationLevel.CRITICAL: pb.DEGRADATION_LEVEL_CRITICAL,
    }
)
_STATES: Mapping[State, pb.ComponentState.ValueType] = MappingProxyType(
    {
        State.UNKNOWN: pb.COMPONENT_STATE_UNKNOWN,
        State.HEALTHY: pb.COMPONENT_STATE_HEALTHY,
        State.UNHEALTHY: pb.COMPONENT_STATE_UNHEALTHY,
    }
)


class DegradationServicer(pb_grpc.DegradationServiceServicer):
    """How well the mesh is."""

    def __init__(self, monitor: Monitor, version: str, heartbeats: Heartbeats = DEFAULT_HEARTBEATS) -> None:
        self._monitor = monitor
        self._version = version
        self._heartbeats = heartbeats

    async def GetStatus(self, request: pb.GetStatusRequest, context: Context) -> pb.Status:
        """The level of the whole mesh."""
        return self._status(self._monitor.report)

    async def ListComponents(self, request: pb.ListComponentsRequest, context: Context) -> pb.ListComponentsResponse:
        """The state of each part."""
        return pb.ListComponentsResponse(components=[_component(item) for item in self._monitor.report.components])

    async def WatchStatus(self, request: pb.WatchStatusRequest, context: Context) -> AsyncIterator[pb.Status]:
        """Sends the status now, at each change, and as a heartbeat."""

        async def unchanged() -> Report:
            return self._monitor.report

        async with aclosing(self._heartbeats.around(self._monitor.watch(), unchanged)) as reports:
            async for report in reports:
                yield self._status(report)

    def _status(self, report: Report) -> pb.Status:
        return pb.Status(
            level=_LEVELS[report.level],
            reason=report.reason,
            unhealthy_components=report.unhealthy,
            update_time=timestamp(report.judged_at),
            version=self._version,
            unknown_components=report.unknown,
        )


class ApiServicer(pb_grpc.ApiServiceServicer):
    """What the edge says of itself."""

    def __init__(self, openapi: bytes, jwks: Callable[[], str]) -> None:
        self._openapi = openapi
        self._jwks = jwks

    async def GetOpenApi(self, request: pb.GetOpenApiRequest, context: Context) -> httpbody_pb2.HttpBody:
        """The OpenAPI document."""
        return httpbody_pb2.HttpBody(content_type=_JSON, data=self._openapi)

    async def GetKeys(self, request: pb.GetKeysRequest, context: Context) -> httpbody_pb2.HttpBody:
        """The public keys."""
        return httpbody_pb2.HttpBody(content_type=_JSON, data=self._jwks().encode())


def _component(item: Component) -> pb.Component:
    return pb.Component(
        name=item.name,
        state=_STATES[item.state],
        level=_LEVELS[item.level],
        reason=item.reason,
        response_ms=round(item.response_s * 1000, 3),
        check_time=timestamp(item.checked_at),
        critical=item.critical,
        version=item.version,
    )
