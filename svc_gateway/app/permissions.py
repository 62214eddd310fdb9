"""Use cases on the permissions of callers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.errors import Reason, SomaError, not_found
from svc_gateway.domain.permissions import DEFAULT_PERMISSIONS, EffectivePermissions, allowed_names, effective

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mesh.context import Caller
    from svc_gateway.app.ports import KeyStore, TenantStore


class Permissions:
    """Permissions of tenants and of their keys. `profile` decides whether the dev plan applies."""

    def __init__(self, tenants: TenantStore, keys: KeyStore, profile: str) -> None:
        self._tenants = tenants
        self._keys = keys
        self._profile = profile

    async def effective(self, caller: Caller) -> EffectivePermissions:
        """Returns what the caller may use now.

        An expired key still narrows: work that was started with it goes on, on behalf of the caller.
        """
        tenant = await self._tenants.get(caller.tenant_id)
        if tenant is None:
            raise not_found("tenant", caller.tenant_id)
        key = await self._keys.get(caller.tenant_id, caller.key_id)
        if key is None or key.revoked_at is not None:
            raise SomaError(Reason.UNAUTHENTICATED, "The key behind this call is unknown or revoked")
        return effective(tenant, key, self._profile)

    async def narrow(
        self, caller: Caller, tenant_id: str, personas: Sequence[str], capsules: Sequence[str]
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Returns personas and capsules of a key that the caller creates; PERMISSION_DENIED for one that it lacks."""
        creator = await self._keys.get(tenant_id, caller.key_id) if tenant_id == caller.tenant_id else None
        tenant = await self._tenants.get(tenant_id)
        tenant_permissions = tenant.permissions if tenant is not None else DEFAULT_PERMISSIONS
        return (
            allowed_names("personas", personas, tenant_permissions.personas, creator.personas if creator else ()),
            allowed_names("capsules", capsules, tenant_permissions.capsules, creator.capsules if creator else ()),
        )
