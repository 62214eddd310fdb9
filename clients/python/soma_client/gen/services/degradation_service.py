"""How well the mesh is."""

# Generated from protos/soma/gateway/v1/health_service.proto by tools/python_methods.py. DO NOT EDIT!

from __future__ import annotations

from collections.abc import AsyncGenerator

from soma_client.calls import Caller
from soma_client.gen.soma.gateway import v1 as gateway_v1


class DegradationServiceMethods:
    """How well the mesh is."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def get_status(self, *, timeout: float | None = None) -> gateway_v1.Status:
        """The level of the whole mesh.

        Args:
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """
        request = gateway_v1.GetStatusRequest()
        return await self._caller.unary(
            "/soma.gateway.v1.DegradationService/GetStatus", request, gateway_v1.Status, timeout
        )

    async def list_components(self, *, timeout: float | None = None) -> gateway_v1.ListComponentsResponse:
        """The state of each part.

        Args:
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """
        request = gateway_v1.ListComponentsRequest()
        return await self._caller.unary(
            "/soma.gateway.v1.DegradationService/ListComponents", request, gateway_v1.ListComponentsResponse, timeout
        )

    def watch_status(self) -> AsyncGenerator[gateway_v1.Status, None]:
        """Sends the status now and at each change, and at least every 15 s. Never ends by itself."""
        request = gateway_v1.WatchStatusRequest()
        return self._caller.stream("/soma.gateway.v1.DegradationService/WatchStatus", request, gateway_v1.Status)
