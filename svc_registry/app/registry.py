"""The use cases of capabilities: registering, reading, changing, deleting, and recording their health."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from mesh.errors import Reason, SomaError, not_found
from mesh.idempotency import NO_KEY, RequestKey
from svc_registry.app.capability_resolver import CapabilityResolver
from svc_registry.app.ladders import Ladders
from svc_registry.app.ports import Page, Request
from svc_registry.app.schemas import SchemaValidator
from svc_registry.app.validation import masked_values, validate_capability
from svc_registry.domain import (
    Capability,
    CapabilityKey,
    Lifecycle,
    apply_report,
    availability_changed,
    reset_health,
    with_needs_egress,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mesh.clock import Clock
    from svc_registry.app.catalog import Catalog
    from svc_registry.app.ports import CapabilityFilter, Store
    from svc_registry.domain import Report, Requester

MAX_ATTEMPTS = 3
"""How often a write is tried that meets concurrent writes of the same capability."""
_CONCURRENT_CHANGES = "the capability is being changed by others; read it and try again"


class Registry:
    """The use cases. Reads are served from the catalog, writes go to the store and come back through its change feed.

    `owner` is the tenant of a private capability, for requesters that see those of all tenants.
    """

    def __init__(self, store: Store, catalog: Catalog, clock: Clock) -> None:
        self._store = store
        self._catalog = catalog
        self._clock = clock
        self._schemas = SchemaValidator()
        self._resolver = CapabilityResolver(store, catalog)
        self.ladders = Ladders(store, catalog, clock)

    async def register(self, requester: Requester, submitted: Capability, key: RequestKey = NO_KEY) -> Capability:
        """Registers a capability, or replaces its definition. An equal definition is not written; health stays."""
        capability = self._with_needs_egress(self._with_owner(requester, submitted))
        await validate_capability(
            capability, self._catalog.capabilities.get(capability.key), self._schemas, self._clock.now()
        )
        request = Request(requester.tenant_id, key)
        for _ in range(MAX_ATTEMPTS):
            if await self._store.find_result(request):
                return await self._read_stored(capability.key)
            saved = await self._try_register(requester, capability, request)
            if saved is not None:
                return saved
        raise SomaError(Reason.CONFLICT, _CONCURRENT_CHANGES)

    async def _try_register(self, requester: Requester, capability: Capability, request: Request) -> Capability | None:
        before = await self._store.get_capability(capability.key)
        if before is None:
            if capability.version:
                raise SomaError(Reason.STALE_VERSION, "version must be 0 for a capability that does not exist yet")
            await self._resolver.require_available_id(requester, capability.capability_id)
        else:
            if requester.is_service and before.deleted_at is not None:
                return before  # A service registers its own at every start; an operator deleted it.
            if requester.is_service and before.lifecycle is Lifecycle.DISABLED:
                # A service registers its own as ACTIVE at every start; an operator disabled it.
                capability = replace(capability, lifecycle=before.lifecycle)
            if before.same_definition(capability):
                await self._store.save_result(request, before.capability_id)
                return before
            self._require_version(before, capability.version)
        return await self._save(requester, before, capability, request)

    async def _save(
        self, requester: Requester, before: Capability | None, after: Capability, request: Request
    ) -> Capability | None:
        now = self._clock.now()
        version = before.version if before else 0
        new = replace(
            after, version=version + 1, created_at=(before.created_at if before else None) or now, updated_at=now
        )
        if not await self._store.save_capability(new, version, requester.subject, request):
            return None
        await self._catalog.refresh(new.key)
        return replace(new, health=before.health) if before else new

    async def update(
        self,
        requester: Requester,
        capability_id: str,
        submitted: Capability,
        fields: Sequence[str],
        key: RequestKey = NO_KEY,
        *,
        owner: str = "",
    ) -> Capability:
        """Changes the fields of the mask, which has the names of the API; "*" stands for all."""
        changes = masked_values(submitted, fields)
        request = Request(requester.tenant_id, key)
        for _ in range(MAX_ATTEMPTS):
            before = await self._resolver.get_writable(requester, capability_id, owner)
            if await self._store.find_result(request):
                return before
            self._require_version(before, submitted.version)
            after = self._with_needs_egress(self._restrict_to_owner(replace(before, **changes)))  # type: ignore[arg-type]
            await validate_capability(after, before, self._schemas, self._clock.now())
            if before.same_definition(after):
                await self._store.save_result(request, capability_id)
                return before
            saved = await self._save(requester, before, after, request)
            if saved is not None:
                return saved
        raise SomaError(Reason.CONFLICT, _CONCURRENT_CHANGES)

    async def disable(
        self, requester: Requester, capability_id: str, key: RequestKey = NO_KEY, *, owner: str = ""
    ) -> Capability:
        """Disables a capability: later selections exclude it."""
        found = await self._resolver.get_writable(requester, capability_id, owner)
        disabled = replace(found, lifecycle=Lifecycle.DISABLED, version=0)
        return await self.update(requester, capability_id, disabled, ["lifecycle"], key, owner=owner)

    async def delete(
        self, requester: Requester, capability_id: str, version: int = 0, key: RequestKey = NO_KEY, *, owner: str = ""
    ) -> Capability:
        """Deletes a capability; its record stays for the retention period."""
        request = Request(requester.tenant_id, key)
        for _ in range(MAX_ATTEMPTS):
            if await self._store.find_result(request):
                return await self._resolver.get_record(requester, capability_id, owner)
            try:
                before = await self._resolver.get_writable(requester, capability_id, owner)
            except SomaError:
                if await self._store.find_result(request):  # a concurrent call of this request deleted it
                    continue
                raise
            self._require_version(before, version)
            saved = await self._save(requester, before, replace(before, deleted_at=self._clock.now()), request)
            if saved is not None:
                return saved
        raise SomaError(Reason.CONFLICT, _CONCURRENT_CHANGES)

    def get(self, requester: Requester, capability_id: str, *, owner: str = "") -> Capability:
        """Returns a capability that is visible to the requester; NOT_FOUND otherwise."""
        found = self._resolver.find_readable(requester, capability_id, owner)
        if found is None:
            raise not_found("capability", capability_id)
        return found

    def list(
        self, requester: Requester, filter_: CapabilityFilter, page_size: int, page_token: str
    ) -> Page[Capability]:
        """Returns a page ordered by id and owner; the token is the key of the last capability before the page."""
        id_, _, owner = page_token.partition(" ")
        index = self._catalog.capabilities
        if requester.is_platform:
            later = index.list_after(CapabilityKey(id_, owner), filter_.adapter)
        else:
            later = index.list_visible_after(requester.tenant_id, id_)
        matching = (capability for capability in later if self._matches(capability, filter_))
        found = list(islice(matching, page_size + 1))
        page = found[:page_size]
        return Page(page, capability_token(page[-1]) if len(found) > page_size else "")

    @staticmethod
    def _matches(capability: Capability, filter_: CapabilityFilter) -> bool:
        return (
            (filter_.include_disabled or capability.lifecycle is not Lifecycle.DISABLED)
            and (filter_.modality is None or filter_.modality in capability.modalities)
            and (not filter_.task_type or filter_.task_type in capability.task_types)
            and (filter_.kind is None or capability.kind is filter_.kind)
            and (not filter_.provider or capability.provider == filter_.provider)
            and (not filter_.adapter or capability.adapter == filter_.adapter)
            and (filter_.health_state is None or capability.health.state is filter_.health_state)
        )

    async def report_health(self, key: CapabilityKey, report: Report) -> Capability:
        """Applies a report to the health of the capability of this key."""
        now = self._clock.now()
        changed = await self._store.update_health(
            key,
            lambda before: apply_report(before, report, now),
            lambda before, after: "capability.report_health" if availability_changed(before, after) else "",
        )
        return await self._refreshed(key, changed)

    async def reset_failures(
        self, requester: Requester, capability_id: str, key: RequestKey = NO_KEY, *, owner: str = ""
    ) -> Capability:
        """Resets health to UNKNOWN, without failures. A repeated request changes nothing."""
        found = await self._resolver.get_writable(requester, capability_id, owner)
        now = self._clock.now()
        changed = await self._store.update_health(
            found.key,
            lambda before: reset_health(before, now),
            lambda *_: "capability.write",
            Request(requester.tenant_id, key),
        )
        return await self._refreshed(found.key, changed)

    async def _refreshed(self, key: CapabilityKey, changed: Capability | None) -> Capability:
        if changed is None:
            raise not_found("capability", key.capability_id)
        await self._catalog.refresh(key)
        return changed

    async def _read_stored(self, key: CapabilityKey) -> Capability:
        found = await self._store.get_capability(key)
        if found is None:
            raise not_found("capability", key.capability_id)
        return found

    @classmethod
    def _with_owner(cls, requester: Requester, capability: Capability) -> Capability:
        """Returns the capability as one of the requester's tenant, unless the requester acts for the platform."""
        if requester.is_platform:
            return capability
        return cls._restrict_to_owner(replace(capability, tenant_id=requester.tenant_id))

    @staticmethod
    def _restrict_to_owner(capability: Capability) -> Capability:
        """Returns a private capability with its owner as the only tenant of its allow-list."""
        if not capability.tenant_id:
            return capability
        return replace(capability, allow=replace(capability.allow, tenants=(capability.tenant_id,)))

    def _with_needs_egress(self, capability: Capability) -> Capability:
        return with_needs_egress(capability, self._catalog.capabilities.platform_capabilities())

    @staticmethod
    def _require_version(before: Capability, version: int) -> None:
        if version not in (0, before.version):
            raise SomaError(Reason.STALE_VERSION, f"version must be {before.version} or 0, not {version}")


def capability_token(capability: Capability) -> str:
    """Returns the page token of the page after this capability."""
    return " ".join(capability.key)
