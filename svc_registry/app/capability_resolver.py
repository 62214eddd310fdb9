"""Which capability an actor means by an id: tenants have name spaces of their own beside the platform's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.errors import Reason, SomaError, not_found
from svc_registry.domain import PLATFORM, CapabilityKey

if TYPE_CHECKING:
    from svc_registry.app.catalog import Catalog
    from svc_registry.app.ports import Store
    from svc_registry.domain import Actor, Capability

_NOT_YOURS = "the capability belongs to the platform; register one of your own under another tool_id"


class CapabilityResolver:
    """Resolves ids. What an actor may not know of does not exist for it."""

    def __init__(self, store: Store, catalog: Catalog) -> None:
        self._store = store
        self._catalog = catalog

    def readable(self, actor: Actor, capability_id: str, owner: str) -> Capability | None:
        """What an actor reads by an id: the platform's where it may see it, else its own."""
        index = self._catalog.capabilities
        if actor.platform:
            return index.get(self.resolve_key(capability_id, owner))
        if not owner:
            return index.resolve(actor.tenant_id, capability_id)
        return index.get(CapabilityKey(capability_id, owner)) if owner == actor.tenant_id else None

    async def changeable(self, actor: Actor, capability_id: str, owner: str) -> Capability:
        """What an actor changes by an id: its own, also where the platform's is meant by it elsewhere.

        NOT_FOUND when there is none that it may see, PERMISSION_DENIED for a tenant when it is the platform's.
        """
        if actor.platform:
            return await self._live(self.resolve_key(capability_id, owner))
        if owner in ("", actor.tenant_id):
            own = await self._store.capability(CapabilityKey(capability_id, actor.tenant_id))
            if own is not None and own.deleted_at is None:
                return own
        if not owner:
            await self.require_free(actor, capability_id)
        raise not_found("capability", capability_id)

    async def record_of(self, actor: Actor, capability_id: str, owner: str) -> Capability:
        """The record of one that the actor deleted."""
        tenant = owner if actor.platform else actor.tenant_id
        found = await self._store.capability(CapabilityKey(capability_id, tenant))
        if found is None:
            raise not_found("capability", capability_id)
        return found

    async def require_free(self, actor: Actor, capability_id: str) -> None:
        """PERMISSION_DENIED for a tenant when it sees one of the platform's under this id."""
        if actor.platform:
            return
        taken = await self._store.capability(CapabilityKey(capability_id))
        if taken is not None and taken.deleted_at is None and taken.visible_to(actor.tenant_id):
            raise SomaError(Reason.PERMISSION_DENIED, _NOT_YOURS)

    def resolve_key(self, capability_id: str, owner: str) -> CapabilityKey:
        """What is meant by who sees those of all owners and names none: the platform's, else the only one."""
        owners = self._catalog.capabilities.owners(capability_id)
        if not owner and PLATFORM not in owners and len(owners) == 1:
            [owner] = owners
        return CapabilityKey(capability_id, owner)

    async def _live(self, key: CapabilityKey) -> Capability:
        found = await self._store.capability(key)
        if found is None or found.deleted_at is not None:
            raise not_found("capability", key.capability_id)
        return found
