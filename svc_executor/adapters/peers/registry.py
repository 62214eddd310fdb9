"""The registry."""

from __future__ import annotations

import math
from datetime import UTC
from typing import TYPE_CHECKING

from google.protobuf.json_format import ParseDict

from soma.registry.v1 import capability_pb2, capability_service_pb2, capability_service_pb2_grpc
from svc_executor.domain.peers import HealthState, RegisteredCapability

if TYPE_CHECKING:
    from collections.abc import Sequence

    import grpc.aio

    from soma_providers.port import Manifest
    from svc_executor.domain.peers import HealthReport

_REASON_CHARS = 500
_PAGE = 500
_DAY_S = 86_400
_STATES = {
    HealthState.UNKNOWN: capability_pb2.HEALTH_STATE_UNKNOWN,
    HealthState.HEALTHY: capability_pb2.HEALTH_STATE_HEALTHY,
    HealthState.DEGRADED: capability_pb2.HEALTH_STATE_DEGRADED,
    HealthState.UNHEALTHY: capability_pb2.HEALTH_STATE_UNHEALTHY,
}
_NAMES = {number: state for state, number in _STATES.items()}


class RegistryPeer:
    """A `Registry` over gRPC.

    `reporter` names this process in its reports, which confirm an open circuit within `confirm_within_s` seconds.
    """

    def __init__(self, channel: grpc.aio.Channel, reporter: str, confirm_within_s: float) -> None:
        self._registry = capability_service_pb2_grpc.CapabilityServiceStub(channel)
        self._reporter = reporter
        self._confirm_within_s = math.ceil(confirm_within_s)

    async def register(self, manifest: Manifest) -> None:
        await self._registry.RegisterCapability(
            capability_service_pb2.RegisterCapabilityRequest(capability=capability_of(manifest))
        )

    async def list_by_adapter(self, adapter: str) -> Sequence[RegisteredCapability]:
        found: list[RegisteredCapability] = []
        token = ""
        while True:
            page = await self._registry.ListCapabilities(
                capability_service_pb2.ListCapabilitiesRequest(page_size=_PAGE, page_token=token, adapter=adapter)
            )
            found += [registered_capability_from_proto(item) for item in page.capabilities]
            token = page.next_page_token
            if not token:
                return found

    async def report_health(self, report: HealthReport) -> None:
        await self._registry.ReportHealth(
            capability_service_pb2.ReportHealthRequest(
                capability_id=report.capability_id,
                state=_STATES[report.state],
                reason=report.reason[:_REASON_CHARS],
                circuit_open=report.circuit_open,
                owner_tenant_id=report.owner_tenant_id,
                reporter=self._reporter,
                confirm_within_seconds=min(self._confirm_within_s, _DAY_S),
            )
        )


def registered_capability_from_proto(item: capability_pb2.Capability) -> RegisteredCapability:
    """What probing needs to know of a capability; a state of a later release counts as UNKNOWN."""
    health = item.health
    return RegisteredCapability(
        f"{item.tool_id}@{item.provider}",
        item.endpoint,
        health.circuit_open,
        health.check_time.ToDatetime(UTC) if health.HasField("check_time") else None,
        item.owner_tenant_id,
        _NAMES.get(health.state, HealthState.UNKNOWN),
    )


def capability_of(manifest: Manifest) -> capability_pb2.Capability:
    """The message of a manifest; raises json_format.ParseError for a field that the contract does not know."""
    return ParseDict(dict(manifest.fields), capability_pb2.Capability(adapter=manifest.adapter))
