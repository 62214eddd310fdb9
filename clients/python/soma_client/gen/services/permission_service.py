"""The permissions of the caller."""

# Generated from protos/soma/gateway/v1/permission_service.proto by tools/python_methods.py. DO NOT EDIT!

from __future__ import annotations

from soma_client.calls import Caller
from soma_client.gen.soma.gateway import v1 as gateway_v1


class PermissionServiceMethods:
    """The permissions of the caller."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def get_effective_permissions(self, *, timeout: float | None = None) -> gateway_v1.EffectivePermissions:
        """Answers what the verified caller may use: the tenant's permissions, narrowed by the API key behind
        the call. Services call it on behalf of the caller that they serve. UNAUTHENTICATED when the key is
        unknown or revoked.

        Args:
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """
        request = gateway_v1.GetEffectivePermissionsRequest()
        return await self._caller.unary(
            "/soma.gateway.v1.PermissionService/GetEffectivePermissions",
            request,
            gateway_v1.EffectivePermissions,
            timeout,
        )
