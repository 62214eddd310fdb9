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
    from svc_registry.domain import Ladder, LadderKey, Requester

MAX_ATTEMPTS = 3
"""How often a write is tried that meets concurrent writes of the same ladder."""


class Ladders:
    """The use cases of ladders. Reads are served from the catalog, writes go to the store."""

    def __init__(self, store: Store, catalog: Catalog, clock: Clock) -> None:
        self._store = store
        self._catalog = catalog
        self._clock = clock

    def get(self, requester: Requester, key: LadderKey) -> Ladder:
        """Returns the effective ladder of the requester's tenant."""
        found = self._catalog.ladders.get_effective(requester.tenant_id, key)
        if found is None:
            raise not_found("ladder", key.name)
        return found

    def list(self, requester: Requester, page_size: int, page_token: str) -> Page[Ladder]:
        """Returns a page of the effective ladders, ordered by modality and task type."""
        effective = self._catalog.ladders.list_effective(requester.tenant_id)
        found = [ladder for ladder in effective if ladder_token(ladder) > page_token]
        page = found[:page_size]
        return Page(page, ladder_token(page[-1]) if len(found) > page_size else "")

    async def set(self, requester: Requester, submitted: Ladder, key: RequestKey = NO_KEY) -> Ladder:
        """Sets the tenant's own ladder (the platform's for its administrators); an empty one removes the override.

        A ladder that is equal to the stored one is not written, nor is that of a repeated request. Returns the
        effective ladder.
        """
        owner = PLATFORM if requester.is_platform else requester.tenant_id
        request = Request(requester.tenant_id, key)
        for _ in range(MAX_ATTEMPTS):
            before = await self._store.get_ladder(owner, submitted.key)
            if await self._store.find_result(request):
                return await self._get_effective(requester, owner, before or submitted)
            self._require_capabilities(requester, submitted.capability_ids)
            version = before.version if before else 0
            if submitted.version not in (0, version):
                raise SomaError(Reason.STALE_VERSION, f"version must be {version} or 0, not {submitted.version}")
            if before is not None and before.capability_ids == submitted.capability_ids:
                await self._store.save_result(request, submitted.key.name)
                return await self._get_effective(requester, owner, before)
            new = replace(
                submitted,
                tenant_id=owner,
                version=version + 1,
                updated_by=requester.subject,
                updated_at=self._clock.now(),
            )
            if await self._store.save_ladder(new, version, request):
                return await self._get_effective(requester, owner, new)
        raise SomaError(Reason.CONFLICT, "the ladder is being changed by others; read it and try again")

    async def _get_effective(self, requester: Requester, owner: str, stored: Ladder) -> Ladder:
        await self._catalog.refresh(OwnedLadderKey(owner, stored.key))
        return self._catalog.ladders.get_effective(requester.tenant_id, stored.key) or stored

    def _require_capabilities(self, requester: Requester, capability_ids: Iterable[str]) -> None:
        for index, id_ in enumerate(capability_ids):
            if not requester.is_platform and self._catalog.capabilities.resolve(requester.tenant_id, id_) is None:
                raise invalid(f"ladder.capability_ids[{index}]", f"capability {id_!r} does not exist")


def ladder_token(ladder: Ladder) -> str:
    """Returns the page token of the page after this ladder."""
    return ladder.key.name
