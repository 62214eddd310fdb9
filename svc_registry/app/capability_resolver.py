"""Which capability an id names for a requester: each tenant has a namespace of its own beside the platform's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.errors import Reason, SomaError, not_found
from svc_registry.domain import PLATFORM, CapabilityKey

if TYPE_CHECKING:
    from svc_registry.app.catalog import Catalog
    from svc_registry.app.ports import Store
    from svc_registry.domain import Capability, Requester

_OWNED_BY_PLATFORM = "the capability belongs to the platform; register one of your own under another tool_id"


class CapabilityResolver:
    """Resolves ids. A capability that is not visible to a requester is answered as one that does not exist."""

    def __init__(self, store: Store, catalog: Catalog) -> None:
        self._store = store
        self._catalog = catalog

    def find_readable(self, requester: Requester, capability_id: str, owner: str) -> Capability | None:
        """Returns what a requester reads by an id: the platform's capability where it is visible, else its own."""
        index = self._catalog.capabilities
        if requester.is_platform:
            return index.get(self.resolve_key(capability_id, owner))
        if not owner:
            return index.resolve(requester.tenant_id, capability_id)
        return index.get(CapabilityKey(capability_id, owner)) if owner == requester.tenant_id else None

    async def get_writable(self, requester: Requester, capability_id: str, owner: str) -> Capability:
        """Returns what a requester changes by an id: its own capability, even where reads resolve to the platform's.

        NOT_FOUND when none is visible to it, PERMISSION_DENIED for a tenant when the capability is the platform's.
        """
        if requester.is_platform:
            return await self._get_existing(self.resolve_key(capability_id, owner))
        if owner in ("", requester.tenant_id):
            own = await self._store.get_capability(CapabilityKey(capability_id, requester.tenant_id))
            if own is not None and own.deleted_at is None:
                return own
        if not owner:
            await self.require_available_id(requester, capability_id)
        raise not_found("capability", capability_id)

    async def get_record(self, requester: Requester, capability_id: str, owner: str) -> Capability:
        """Returns the record of a capability that the requester deleted."""
        tenant = owner if requester.is_platform else requester.tenant_id
        found = await self._store.get_capability(CapabilityKey(capability_id, tenant))
        if found is None:
            raise not_found("capability", capability_id)
        return found

    async def require_available_id(self, requester: Requester, capability_id: str) -> None:
        """Raises PERMISSION_DENIED for a tenant to which a capability of the platform with this id is visible."""
        if requester.is_platform:
            return
        existing = await self._store.get_capability(CapabilityKey(capability_id))
        if existing is not None and existing.deleted_at is None and existing.visible_to(requester.tenant_id):
            raise SomaError(Reason.PERMISSION_DENIED, _OWNED_BY_PLATFORM)

    def resolve_key(self, capability_id: str, owner: str) -> CapabilityKey:
        """Returns the key for a requester that sees all owners; without an owner the platform's, else the only one."""
        owners = self._catalog.capabilities.owners(capability_id)
        if not owner and PLATFORM not in owners and len(owners) == 1:
            [owner] = owners
        return CapabilityKey(capability_id, owner)

    async def _get_existing(self, key: CapabilityKey) -> Capability:
        found = await self._store.get_capability(key)
        if found is None or found.deleted_at is not None:
            raise not_found("capability", key.capability_id)
        return found
