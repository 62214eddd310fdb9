"""Registering, reading and changing capabilities, and keeping their health."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from mesh.errors import Reason, SomaError, not_found
from mesh.idempotency import NO_KEY, RequestKey
from svc_registry.app.capability_resolver import CapabilityResolver
from svc_registry.app.ladders import Ladders
from svc_registry.app.ports import Page, Request
from svc_registry.app.schemas import Schemas
from svc_registry.app.validation import check, masked
from svc_registry.domain import (
    Capability,
    CapabilityKey,
    Lifecycle,
    availability_changed,
    forget_failures,
    observe,
    with_egress,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mesh.clock import Clock
    from svc_registry.app.catalog import Catalog
    from svc_registry.app.ports import CapabilityFilter, Store
    from svc_registry.domain import Actor, Report

TRIES = 3
_BUSY = "the capability is being changed by others; read it and try again"


class Registry:
    """The use cases. Reads come from the live catalogue, writes go to the store and come back through its feed.

    `owner` names the tenant of a private capability, for those who may see those of several.
    """

    def __init__(self, store: Store, catalog: Catalog, clock: Clock) -> None:
        self._store = store
        self._catalog = catalog
        self._clock = clock
        self._schemas = Schemas()
        self._resolver = CapabilityResolver(store, catalog)
        self.ladders = Ladders(store, catalog, clock)

    async def register(self, actor: Actor, submitted: Capability, key: RequestKey = NO_KEY) -> Capability:
        """Registers or replaces. Registering what is there already changes nothing; health is kept."""
        capability = self._with_egress(self._owned(actor, submitted))
        await check(capability, self._catalog.capabilities.get(capability.key), self._schemas, self._clock.now())
        request = Request(actor.tenant_id, key)
        for _ in range(TRIES):
            if await self._store.replayed(request):
                return await self._recorded(capability.key)
            saved = await self._put(actor, capability, request)
            if saved is not None:
                return saved
        raise SomaError(Reason.CONFLICT, _BUSY)

    async def _put(self, actor: Actor, capability: Capability, request: Request) -> Capability | None:
        before = await self._store.capability(capability.key)
        if before is None:
            if capability.version:
                raise SomaError(Reason.STALE_VERSION, "version must be 0 for a capability that does not exist yet")
            await self._resolver.require_free(actor, capability.capability_id)
        else:
            if actor.service and before.deleted_at is not None:
                return before  # What ships with a service comes at every start; an operator deleted it.
            if actor.service and before.lifecycle is Lifecycle.DISABLED:
                # What ships with a service says ACTIVE at every start; an operator took it out.
                capability = replace(capability, lifecycle=before.lifecycle)
            if before.same_definition(capability):
                await self._store.remember(request, before.capability_id)
                return before
            self._require_version(before, capability.version)
        return await self._save(actor, before, capability, request)

    async def _save(
        self, actor: Actor, before: Capability | None, after: Capability, request: Request
    ) -> Capability | None:
        now = self._clock.now()
        version = before.version if before else 0
        new = replace(
            after, version=version + 1, created_at=(before.created_at if before else None) or now, updated_at=now
        )
        if not await self._store.save_capability(new, version, actor.subject, request):
            return None
        await self._catalog.refresh(new.key)
        return replace(new, health=before.health) if before else new

    async def update(
        self,
        actor: Actor,
        capability_id: str,
        submitted: Capability,
        fields: Sequence[str],
        key: RequestKey = NO_KEY,
        *,
        owner: str = "",
    ) -> Capability:
        """Changes the fields, named as in the API; "*" names all."""
        changes = masked(submitted, fields)
        request = Request(actor.tenant_id, key)
        for _ in range(TRIES):
            before = await self._resolver.changeable(actor, capability_id, owner)
            if await self._store.replayed(request):
                return before
            self._require_version(before, submitted.version)
            after = self._with_egress(self._rebound(replace(before, **changes)))  # type: ignore[arg-type]
            await check(after, before, self._schemas, self._clock.now())
            if before.same_definition(after):
                await self._store.remember(request, capability_id)
                return before
            saved = await self._save(actor, before, after, request)
            if saved is not None:
                return saved
        raise SomaError(Reason.CONFLICT, _BUSY)

    async def disable(
        self, actor: Actor, capability_id: str, key: RequestKey = NO_KEY, *, owner: str = ""
    ) -> Capability:
        """Takes a capability out of every later choice."""
        found = await self._resolver.changeable(actor, capability_id, owner)
        disabled = replace(found, lifecycle=Lifecycle.DISABLED, version=0)
        return await self.update(actor, capability_id, disabled, ["lifecycle"], key, owner=owner)

    async def delete(
        self, actor: Actor, capability_id: str, version: int = 0, key: RequestKey = NO_KEY, *, owner: str = ""
    ) -> Capability:
        """Deletes a capability; its record stays for the term of retention."""
        request = Request(actor.tenant_id, key)
        for _ in range(TRIES):
            if await self._store.replayed(request):
                return await self._resolver.record_of(actor, capability_id, owner)
            try:
                before = await self._resolver.changeable(actor, capability_id, owner)
            except SomaError:
                if await self._store.replayed(request):  # by the same request, at this moment
                    continue
                raise
            self._require_version(before, version)
            saved = await self._save(actor, before, replace(before, deleted_at=self._clock.now()), request)
            if saved is not None:
                return saved
        raise SomaError(Reason.CONFLICT, _BUSY)

    def get(self, actor: Actor, capability_id: str, *, owner: str = "") -> Capability:
        """One capability the actor may know of."""
        found = self._resolver.readable(actor, capability_id, owner)
        if found is None:
            raise not_found("capability", capability_id)
        return found

    def list(self, actor: Actor, wanted: CapabilityFilter, size: int, token: str) -> Page[Capability]:
        """A page ordered by id and owner; the token names the last one of the page before."""
        id_, _, owner = token.partition(" ")
        index = self._catalog.capabilities
        if actor.platform:
            behind = index.after(CapabilityKey(id_, owner), wanted.adapter)
        else:
            behind = index.visible_after(actor.tenant_id, id_)
        found = list(islice((item for item in behind if self._matches(item, wanted)), size + 1))
        page = found[:size]
        return Page(page, capability_token(page[-1]) if len(found) > size else "")

    @staticmethod
    def _matches(item: Capability, wanted: CapabilityFilter) -> bool:
        return (
            (wanted.include_disabled or item.lifecycle is not Lifecycle.DISABLED)
            and (wanted.modality is None or wanted.modality in item.modalities)
            and (not wanted.task_type or wanted.task_type in item.task_types)
            and (wanted.kind is None or item.kind is wanted.kind)
            and (not wanted.provider or item.provider == wanted.provider)
            and (not wanted.adapter or item.adapter == wanted.adapter)
            and (wanted.health_state is None or item.health.state is wanted.health_state)
        )

    async def report_health(self, key: CapabilityKey, report: Report) -> Capability:
        """Folds a report into the health of exactly this capability."""
        now = self._clock.now()
        changed = await self._store.change_health(
            key,
            lambda before: observe(before, report, now),
            lambda before, after: "capability.report_health" if availability_changed(before, after) else "",
        )
        return await self._shown(key, changed)

    async def reset_failures(
        self, actor: Actor, capability_id: str, key: RequestKey = NO_KEY, *, owner: str = ""
    ) -> Capability:
        """Forgets failures; health becomes UNKNOWN. A request that was made before changes nothing."""
        found = await self._resolver.changeable(actor, capability_id, owner)
        now = self._clock.now()
        changed = await self._store.change_health(
            found.key,
            lambda before: forget_failures(before, now),
            lambda *_: "capability.write",
            Request(actor.tenant_id, key),
        )
        return await self._shown(found.key, changed)

    async def _shown(self, key: CapabilityKey, changed: Capability | None) -> Capability:
        if changed is None:
            raise not_found("capability", key.capability_id)
        await self._catalog.refresh(key)
        return changed

    async def _recorded(self, key: CapabilityKey) -> Capability:
        found = await self._store.capability(key)
        if found is None:
            raise not_found("capability", key.capability_id)
        return found

    @classmethod
    def _owned(cls, actor: Actor, capability: Capability) -> Capability:
        """Binds what a tenant's administrator registers to that tenant."""
        return capability if actor.platform else cls._rebound(replace(capability, tenant_id=actor.tenant_id))

    @staticmethod
    def _rebound(capability: Capability) -> Capability:
        """Keeps a private capability private, whatever was asked."""
        if not capability.tenant_id:
            return capability
        return replace(capability, allow=replace(capability.allow, tenants=(capability.tenant_id,)))

    def _with_egress(self, capability: Capability) -> Capability:
        return with_egress(capability, self._catalog.capabilities.of_platform())

    @staticmethod
    def _require_version(before: Capability, version: int) -> None:
        if version not in (0, before.version):
            raise SomaError(Reason.STALE_VERSION, f"version must be {before.version} or 0, not {version}")


def capability_token(item: Capability) -> str:
    """Where the page after this capability begins."""
    return " ".join(item.key)
