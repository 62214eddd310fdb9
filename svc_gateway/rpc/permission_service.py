"""PermissionService: convert, call, convert back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.context import caller
from soma.gateway.v1 import permission_service_pb2 as pb
from soma.gateway.v1 import permission_service_pb2_grpc as pb_grpc
from svc_gateway.rpc.convert import effective_permissions_to_proto

if TYPE_CHECKING:
    import grpc.aio

    from svc_gateway.app.permissions import Permissions

    Context = grpc.aio.ServicerContext[object, object]


class PermissionServicer(pb_grpc.PermissionServiceServicer):
    """The permissions of the caller."""

    def __init__(self, permissions: Permissions) -> None:
        self._permissions = permissions

    async def GetEffectivePermissions(
        self, request: pb.GetEffectivePermissionsRequest, context: Context
    ) -> pb.EffectivePermissions:
        """Returns what the caller may use."""
        return effective_permissions_to_proto(await self._permissions.effective(caller()))
