"""Registering, finding and watching capabilities, and keeping their health."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from mesh.errors import Reason, SomaError, invalid, not_found
from svc_registry.app.offers import check, masked
from svc_registry.app.schemas import Schemas
from svc_registry.domain import (
    PLATFORM,
    Capability,
    Health,
    Ladder,
    LadderKey,
    LeftOut,
    Lifecycle,
    Page,
    observe,
    taken_or_given_back,
    why_not,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mesh.clock import Clock
    from svc_registry.app.catalog import Catalog
    from svc_registry.domain import Actor, CapabilityFilter, HealthState, Requirements, Store

DEFAULT_PAGE = 50
TRIES = 3


class Registry:
    """The use cases. Reads come from the live catalogue, writes go to the store and come back through its feed."""

    def __init__(self, store: Store, catalog: Catalog, clock: Clock) -> None:
        self._store = store
        self._catalog = catalog
        self._clock = clock
        self._schemas = Schemas()

    async def register(self, actor: Actor, offered: Capability, request_id: str = "") -> Capability:
        """Registers or replaces. Registering what is there already changes nothing; health is kept."""
        capability = self._owned(actor, offered)
        await check(capability, self._catalog.get(capability.capability_id), self._clock.now())
        digest = hashlib.sha256(json.dumps(asdict(capability), sort_keys=True, default=str).encode()).hexdigest()
        if request_id and await self._store.replayed(actor.tenant_id, request_id, digest):
            return self.get(actor, capability.capability_id)
        saved = await self._put(actor, capability)
        if request_id:
            await self._store.remember(actor.tenant_id, request_id, digest, saved.capability_id)
        return saved

    async def _put(self, actor: Actor, capability: Capability) -> Capability:
        for _ in range(TRIES):
            before = await self._store.capability(capability.capability_id)
            if before is None:
                if capability.version:
                    raise SomaError(Reason.STALE_VERSION, "version must be 0 for a capability that does not exist yet")
            else:
                self._may_change(actor, before)
                if actor.service and before.lifecycle is Lifecycle.DISABLED:
                    # What ships with a service says ACTIVE at every start; an operator took it out.
                    capability = replace(capability, lifecycle=before.lifecycle)
                if before.same_offer(capability):
                    return before
                self._fresh(before, capability.version)
            saved = await self._save(actor, before, capability)
            if saved is not None:
                return saved
        raise SomaError(Reason.CONFLICT, "the capability is being changed by others; read it and try again")

    async def _save(self, actor: Actor, before: Capability | None, after: Capability) -> Capability | None:
        now = self._clock.now()
        version = before.version if before else 0
        new = replace(
            after,
            version=version + 1,
            health=before.health if before else Health(),
            created_at=before.created_at if before else now,
            updated_at=now,
        )
        if not await self._store.save_capability(new, version, actor.subject):
            return None
        await self._catalog.refresh("capability", new.capability_id)
        return new

    async def update(self, actor: Actor, capability_id: str, offered: Capability, fields: Sequence[str]) -> Capability:
        """Changes the fields, named as in the API; "*" names all."""
        changes = masked(offered, fields)
        for _ in range(TRIES):
            before = await self._visible(actor, capability_id)
            self._may_change(actor, before)
            self._fresh(before, offered.version)
            after = self._owned(actor, replace(before, **changes))  # type: ignore[arg-type]
            await check(after, before, self._clock.now())
            if before.same_offer(after):
                return before
            saved = await self._save(actor, before, after)
            if saved is not None:
                return saved
        raise SomaError(Reason.CONFLICT, "the capability is being changed by others; read it and try again")

    async def disable(self, actor: Actor, capability_id: str) -> Capability:
        """Takes a capability out of every later choice."""
        before = await self._visible(actor, capability_id)
        return await self.update(actor, capability_id, replace(before, lifecycle=Lifecycle.DISABLED), ["lifecycle"])

    def get(self, actor: Actor, capability_id: str) -> Capability:
        """One capability the actor may know of."""
        found = self._catalog.get(capability_id)
        if found is None or not (actor.platform or found.visible_to(actor.tenant_id)):
            raise not_found("capability", capability_id)
        return found

    def list(self, actor: Actor, wanted: CapabilityFilter, size: int, token: str) -> Page[Capability]:
        """A page ordered by id; the token is the last id of the page before."""
        pool = self._catalog.of(wanted.modality) if wanted.modality else self._catalog.all()
        ids = sorted(id_ for id_, item in pool.items() if id_ > token and self._matches(actor, item, wanted))
        limit = size or DEFAULT_PAGE
        page = [pool[id_] for id_ in ids[:limit]]
        return Page(page, page[-1].capability_id if len(ids) > limit else "")

    @staticmethod
    def _matches(actor: Actor, item: Capability, wanted: CapabilityFilter) -> bool:
        return (
            (actor.platform or item.visible_to(actor.tenant_id))
            and (wanted.include_disabled or item.lifecycle is not Lifecycle.DISABLED)
            and (not wanted.task_type or wanted.task_type in item.task_types)
            and (wanted.kind is None or item.kind is wanted.kind)
            and (not wanted.provider or item.provider == wanted.provider)
            and (not wanted.adapter or item.adapter == wanted.adapter)
            and (wanted.health_state is None or item.health.state is wanted.health_state)
        )

    async def find(self, actor: Actor, need: Requirements) -> tuple[Sequence[Capability], Sequence[LeftOut]]:
        """Those that could serve in ladder order, and why each other of the modality could not."""
        able: list[Capability] = []
        left_out: list[LeftOut] = []
        for item in self._catalog.of(need.modality).values():
            if not item.visible_to(actor.tenant_id):
                continue
            obstacle = why_not(item, need)
            if obstacle is None:
                able.append(item)
            else:
                left_out.append(obstacle)
        if need.params is not None:
            mismatches = await self._schemas.mismatches(able, need.params)
            able = [item for item in able if item.capability_id not in mismatches]
            left_out += mismatches.values()
        ladder = self._catalog.ladder_for(actor.tenant_id, LadderKey(need.modality, need.task_type))
        rung = {id_: place for place, id_ in enumerate(ladder.capability_ids if ladder else ())}
        able.sort(key=lambda item: (rung.get(item.capability_id, len(rung)), item.capability_id))
        return able, left_out

    async def report_health(
        self, capability_id: str, state: HealthState, reason: str, *, circuit_open: bool
    ) -> Capability:
        """Folds a report into the health of a capability."""
        before = await self._store.capability(capability_id)
        if before is None:
            raise not_found("capability", capability_id)
        health = observe(before.health, state, self._clock.now(), reason, circuit_open=circuit_open)
        audited = "capability.report_health" if taken_or_given_back(before.health, health) else ""
        return await self._set_health(before, health, audited)

    async def reset_failures(self, actor: Actor, capability_id: str) -> Capability:
        """Forgets failures; health becomes UNKNOWN."""
        before = await self._visible(actor, capability_id)
        self._may_change(actor, before)
        return await self._set_health(before, Health(checked_at=self._clock.now()), "capability.write")

    async def _set_health(self, before: Capability, health: Health, action: str) -> Capability:
        if not await self._store.save_health(before.capability_id, health, action):
            raise not_found("capability", before.capability_id)
        await self._catalog.refresh("capability", before.capability_id)
        return replace(before, health=health)

    def ladder(self, actor: Actor, key: LadderKey) -> Ladder:
        """The ladder in force for the actor's tenant."""
        found = self._catalog.ladder_for(actor.tenant_id, key)
        if found is None:
            raise not_found("ladder", f"{key.modality}/{key.task_type}")
        return found

    def ladders(self, actor: Actor, size: int, token: str) -> Page[Ladder]:
        """A page ordered by modality and task type."""
        found = [item for item in self._catalog.ladders_for(actor.tenant_id) if _ladder_token(item) > token]
        limit = size or DEFAULT_PAGE
        page = found[:limit]
        return Page(page, _ladder_token(page[-1]) if len(found) > limit else "")

    async def set_ladder(self, actor: Actor, wanted: Ladder) -> Ladder:
        """Sets the tenant's own ladder (the platform's for its administrators); an empty list gives an override up."""
        self._known(actor, wanted.capability_ids)
        owner = PLATFORM if actor.platform else actor.tenant_id
        before = await self._store.ladder(owner, wanted.key)
        version = before.version if before else 0
        if wanted.version not in (0, version):
            raise SomaError(Reason.STALE_VERSION, f"version must be {version} or 0, not {wanted.version}")
        new = replace(
            wanted, tenant_id=owner, version=version + 1, updated_by=actor.subject, updated_at=self._clock.now()
        )
        if not await self._store.save_ladder(new, version):
            raise SomaError(Reason.CONFLICT, "the ladder was changed by another; read it and try again")
        await self._catalog.refresh("ladder", f"{owner}/{new.key.modality}/{new.key.task_type}")
        return self._catalog.ladder_for(actor.tenant_id, new.key) or new

    def _known(self, actor: Actor, capability_ids: Iterable[str]) -> None:
        for index, id_ in enumerate(capability_ids):
            found = self._catalog.get(id_)
            if not actor.platform and (found is None or not found.visible_to(actor.tenant_id)):
                raise invalid(f"ladder.capability_ids[{index}]", f"capability {id_!r} does not exist")

    async def _visible(self, actor: Actor, capability_id: str) -> Capability:
        found = await self._store.capability(capability_id)
        if found is None or not (actor.platform or found.visible_to(actor.tenant_id)):
            raise not_found("capability", capability_id)
        return found

    @staticmethod
    def _owned(actor: Actor, capability: Capability) -> Capability:
        """Binds what a tenant's administrator registers to that tenant."""
        if actor.platform:
            return capability
        return replace(capability, allow=replace(capability.allow, tenants=(actor.tenant_id,)))

    @staticmethod
    def _may_change(actor: Actor, before: Capability) -> None:
        if actor.platform or before.allow.tenants == (actor.tenant_id,):
            return
        if not before.visible_to(actor.tenant_id):
            raise SomaError(Reason.ALREADY_EXISTS, "this tool_id and provider are taken; choose another tool_id")
        raise SomaError(Reason.PERMISSION_DENIED, "the capability belongs to the platform; register one of your own")

    @staticmethod
    def _fresh(before: Capability, version: int) -> None:
        if version not in (0, before.version):
            raise SomaError(Reason.STALE_VERSION, f"version must be {before.version} or 0, not {version}")


def _ladder_token(ladder: Ladder) -> str:
    return f"{ladder.key.modality}/{ladder.key.task_type}"
