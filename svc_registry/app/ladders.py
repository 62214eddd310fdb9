"""Reading and setting ladders."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mesh.errors import Reason, SomaError, invalid, not_found
from mesh.idempotency import NO_KEY, RequestKey
from svc_registry.app.ports import OwnedLadderKey, Page, Request
from svc_registry.domain import PLATFORM

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mesh.clock import Clock
    from svc_registry.app.catalog import Catalog
    from svc_registry.app.ports import Store
    from svc_registry.domain import Actor, Ladder, LadderKey

TRIES = 3


class Ladders:
    """The use cases. Reads come from the live catalogue, writes go to the store."""

    def __init__(self, store: Store, catalog: Catalog, clock: Clock) -> None:
        self._store = store
        self._catalog = catalog
        self._clock = clock

    def get(self, actor: Actor, key: LadderKey) -> Ladder:
        """The ladder in force for the actor's tenant."""
        found = self._catalog.ladders.in_force(actor.tenant_id, key)
        if found is None:
            raise not_found("ladder", key.name)
        return found

    def list(self, actor: Actor, size: int, token: str) -> Page[Ladder]:
        """A page of those in force, ordered by modality and task type."""
        found = [item for item in self._catalog.ladders.all_in_force(actor.tenant_id) if ladder_token(item) > token]
        page = found[:size]
        return Page(page, ladder_token(page[-1]) if len(found) > size else "")

    async def set(self, actor: Actor, wanted: Ladder, key: RequestKey = NO_KEY) -> Ladder:
        """Sets the tenant's own ladder (the platform's for its administrators); an empty list gives an override up.

        Setting what is set already changes nothing. A request that was made before changes nothing either, and the
        ladder in force is given as it is now.
        """
        owner = PLATFORM if actor.platform else actor.tenant_id
        request = Request(actor.tenant_id, key)
        for _ in range(TRIES):
            before = await self._store.ladder(owner, wanted.key)
            if await self._store.replayed(request):
                return await self._in_force(actor, owner, before or wanted)
            self._require_known(actor, wanted.capability_ids)
            version = before.version if before else 0
            if wanted.version not in (0, version):
                raise SomaError(Reason.STALE_VERSION, f"version must be {version} or 0, not {wanted.version}")
            if before is not None and before.capability_ids == wanted.capability_ids:
                await self._store.remember(request, wanted.key.name)
                return await self._in_force(actor, owner, before)
            new = replace(
                wanted, tenant_id=owner, version=version + 1, updated_by=actor.subject, updated_at=self._clock.now()
            )
            if await self._store.save_ladder(new, version, request):
                return await self._in_force(actor, owner, new)
        raise SomaError(Reason.CONFLICT, "the ladder is being changed by others; read it and try again")

    async def _in_force(self, actor: Actor, owner: str, stored: Ladder) -> Ladder:
        await self._catalog.refresh(OwnedLadderKey(owner, stored.key))
        return self._catalog.ladders.in_force(actor.tenant_id, stored.key) or stored

    def _require_known(self, actor: Actor, capability_ids: Iterable[str]) -> None:
        for index, id_ in enumerate(capability_ids):
            if not actor.platform and self._catalog.capabilities.resolve(actor.tenant_id, id_) is None:
                raise invalid(f"ladder.capability_ids[{index}]", f"capability {id_!r} does not exist")


def ladder_token(ladder: Ladder) -> str:
    """Where the page after this ladder begins."""
    return ladder.key.name
