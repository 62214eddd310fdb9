"""What the gateway says that the caller may store, kept for a moment."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from mesh.context import caller
from mesh.errors import is_transient
from soma.gateway.v1.permission_service_pb2 import GetEffectivePermissionsRequest
from svc_assets.domain.limits import MediaKind, Permissions

if TYPE_CHECKING:
    from mesh.clock import Clock
    from soma.gateway.v1.permission_service_pb2 import EffectivePermissions
    from soma.gateway.v1.permission_service_pb2_grpc import PermissionServiceAsyncStub

FRESH_S = 10.0
STALE_S = 300.0
"""While the gateway does not answer, older permissions are good for so long."""
CALLERS = 10_000


class GatewayPermissions:
    """The permissions of callers, by tenant and key."""

    def __init__(self, stub: PermissionServiceAsyncStub, clock: Clock) -> None:
        self._stub = stub
        self._clock = clock
        self._known: OrderedDict[tuple[str, str], tuple[float, Permissions]] = OrderedDict()

    async def of_caller(self) -> Permissions:
        """The permissions; what the gateway raises when they are not known."""
        who = caller()
        key = (who.tenant_id, who.key_id)
        asked_at, permissions = self._known.get(key, (float("-inf"), Permissions()))
        age = self._clock.monotonic() - asked_at
        if age < FRESH_S:
            return permissions
        try:
            permissions = _permissions(await self._stub.GetEffectivePermissions(GetEffectivePermissionsRequest()))
        except Exception as error:
            if is_transient(error) and age < STALE_S:
                return permissions
            self._known.pop(key, None)
            raise
        self._known[key] = (self._clock.monotonic(), permissions)
        self._known.move_to_end(key)
        if len(self._known) > CALLERS:
            self._known.popitem(last=False)
        return permissions


def _permissions(message: EffectivePermissions) -> Permissions:
    limits = {kind: getattr(message.max_asset_bytes, kind) for kind in MediaKind}
    return Permissions(limits, message.data_classification_floor or "public")
