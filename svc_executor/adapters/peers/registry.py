"""The registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.json_format import ParseDict

from soma.registry.v1 import capability_pb2, capability_service_pb2, capability_service_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Sequence

    import grpc.aio

    from svc_executor.domain.peers import HealthReport, Manifest

_REASON_CHARS = 500
_PAGE = 500


class RegistryPeer:
    """A `Registry` over gRPC."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._registry = capability_service_pb2_grpc.CapabilityServiceStub(channel)

    async def register(self, manifest: Manifest) -> None:
        """See the port."""
        await self._registry.RegisterCapability(
            capability_service_pb2.RegisterCapabilityRequest(capability=capability_of(manifest))
        )

    async def served_by(self, adapter: str) -> Sequence[str]:
        """See the port."""
        found: list[str] = []
        token = ""
        while True:
            page = await self._registry.ListCapabilities(
                capability_service_pb2.ListCapabilitiesRequest(page_size=_PAGE, page_token=token, adapter=adapter)
            )
            found += [f"{item.tool_id}@{item.provider}" for item in page.capabilities]
            token = page.next_page_token
            if not token:
                return found

    async def report_health(self, report: HealthReport) -> None:
        """See the port."""
        healthy = capability_pb2.HEALTH_STATE_HEALTHY if report.healthy else capability_pb2.HEALTH_STATE_UNHEALTHY
        await self._registry.ReportHealth(
            capability_service_pb2.ReportHealthRequest(
                capability_id=report.capability_id,
                state=healthy,
                reason=report.reason[:_REASON_CHARS],
                circuit_open=report.circuit_open,
            )
        )


def capability_of(manifest: Manifest) -> capability_pb2.Capability:
    """The message of a manifest; raises json_format.ParseError for a field that the contract does not know."""
    return ParseDict(dict(manifest.fields), capability_pb2.Capability(adapter=manifest.adapter))
