"""What the edge says of itself."""

# Generated from protos/soma/gateway/v1/health_service.proto by tools/python_methods.py. DO NOT EDIT!

from __future__ import annotations

from soma_client.calls import Caller
from soma_client.gen.google.api import HttpBody
from soma_client.gen.soma.gateway import v1 as gateway_v1


class ApiServiceMethods:
    """What the edge says of itself."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def get_open(self, *, timeout: float | None = None) -> HttpBody:
        """The OpenAPI 3 document of all REST paths.

        Args:
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """
        request = gateway_v1.GetOpenApiRequest()
        return await self._caller.unary("/soma.gateway.v1.ApiService/GetOpenApi", request, HttpBody, timeout)

    async def get_keys(self, *, timeout: float | None = None) -> HttpBody:
        """The public keys that verify tokens and API keys, a JSON Web Key Set.

        Args:
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """
        request = gateway_v1.GetKeysRequest()
        return await self._caller.unary("/soma.gateway.v1.ApiService/GetKeys", request, HttpBody, timeout)
