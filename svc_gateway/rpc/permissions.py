"""PermissionService, and permissions on the wire."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from mesh.context import caller
from soma.gateway.v1 import permission_service_pb2 as pb
from soma.gateway.v1 import permission_service_pb2_grpc as pb_grpc
from svc_gateway.domain.permissions import AssetByteLimits, EffectivePermissions, TenantPermissions

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
        """Answers what the caller may use."""
        return _effective_to_proto(await self._permissions.effective(caller()))


def permissions_from_proto(message: pb.TenantPermissions) -> TenantPermissions:
    """The permissions of a message."""
    limits = message.max_asset_bytes
    return TenantPermissions(
        denied_providers=tuple(message.denied_providers),
        denied_tools=tuple(message.denied_tools),
        max_cost_tier=message.max_cost_tier,
        data_classification_floor=message.data_classification_floor,
        personas=tuple(message.personas),
        capsules=tuple(message.capsules),
        max_asset_bytes=AssetByteLimits(*(getattr(limits, field.name) for field in fields(AssetByteLimits))),
    )


def permissions_to_proto(permissions: TenantPermissions) -> pb.TenantPermissions:
    """The message of permissions."""
    return pb.TenantPermissions(
        denied_providers=permissions.denied_providers,
        denied_tools=permissions.denied_tools,
        max_cost_tier=permissions.max_cost_tier,
        data_classification_floor=permissions.data_classification_floor,
        personas=permissions.personas,
        capsules=permissions.capsules,
        max_asset_bytes=_limits_to_proto(permissions.max_asset_bytes),
    )


def _effective_to_proto(found: EffectivePermissions) -> pb.EffectivePermissions:
    permissions = found.permissions
    return pb.EffectivePermissions(
        tenant_id=found.tenant_id,
        plan=found.plan,
        denied_providers=permissions.denied_providers,
        denied_tools=permissions.denied_tools,
        max_cost_tier=permissions.max_cost_tier,
        data_classification_floor=permissions.data_classification_floor,
        personas=permissions.personas,
        capsules=permissions.capsules,
        max_asset_bytes=_limits_to_proto(permissions.max_asset_bytes),
    )


def _limits_to_proto(limits: AssetByteLimits) -> pb.AssetByteLimits:
    return pb.AssetByteLimits(
        image=limits.image,
        audio=limits.audio,
        video=limits.video,
        document=limits.document,
        text=limits.text,
        other=limits.other,
    )
