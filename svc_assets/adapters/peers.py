"""Permissions of callers, read from the gateway and cached."""

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

CACHE_TTL_S = 10.0
MAX_STALE_S = 300.0
"""Age up to which cached permissions are used while the gateway is unavailable."""
MAX_CACHED_CALLERS = 10_000


class GatewayPermissions:
    """Reads the permissions of callers; caches them by tenant and API key."""

    def __init__(self, stub: PermissionServiceAsyncStub, clock: Clock) -> None:
        self._stub = stub
        self._clock = clock
        self._cache: OrderedDict[tuple[str, str], tuple[float, Permissions]] = OrderedDict()

    async def get_for_caller(self) -> Permissions:
        """Returns the permissions; raises the error of the gateway when there are none that are fresh enough."""
        current_caller = caller()
        key = (current_caller.tenant_id, current_caller.key_id)
        fetched_at, permissions = self._cache.get(key, (float("-inf"), Permissions()))
        age = self._clock.monotonic() - fetched_at
        if age < CACHE_TTL_S:
            return permissions
        try:
            message = await self._stub.GetEffectivePermissions(GetEffectivePermissionsRequest())
            permissions = _permissions_from_proto(message)
        except Exception as error:
            if is_transient(error) and age < MAX_STALE_S:
                return permissions
            self._cache.pop(key, None)
            raise
        self._cache[key] = (self._clock.monotonic(), permissions)
        self._cache.move_to_end(key)
        if len(self._cache) > MAX_CACHED_CALLERS:
            self._cache.popitem(last=False)
        return permissions


def _permissions_from_proto(message: EffectivePermissions) -> Permissions:
    limits = {kind: getattr(message.max_asset_bytes, kind) for kind in MediaKind}
    return Permissions(limits, message.data_classification_floor or "public")
