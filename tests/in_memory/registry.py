"""The store and the change feed of the registry in memory."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from svc_registry.app.ports import OwnedLadderKey, Quotas
from svc_registry.domain import Health, require_capability_quota, require_ladder_quota

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from svc_registry.app.ports import ChangedKey, Request
    from svc_registry.domain import Capability, CapabilityKey, Ladder, LadderKey


class MemoryStore:
    """Implements both ports; publishes no events and writes no audit events."""

    def __init__(self, quotas: Quotas | None = None) -> None:
        self._quotas = quotas or Quotas()
        self._capabilities: dict[CapabilityKey, Capability] = {}
        self._ladders: dict[OwnedLadderKey, Ladder] = {}
        self._requests: dict[tuple[str, str], tuple[str, str]] = {}
        self._listeners: list[Callable[[ChangedKey], None]] = []

    async def list_capabilities(self) -> AsyncIterator[Sequence[Capability]]:
        yield tuple(self._capabilities.values())

    async def list_ladders(self) -> AsyncIterator[Sequence[Ladder]]:
        yield tuple(self._ladders.values())

    async def get_capability(self, key: CapabilityKey) -> Capability | None:
        return self._capabilities.get(key)

    async def get_ladder(self, tenant_id: str, key: LadderKey) -> Ladder | None:
        return self._ladders.get(OwnedLadderKey(tenant_id, key))

    async def save_capability(
        self, capability: Capability, expected_version: int, subject: str, request: Request | None = None
    ) -> bool:
        before = self._capabilities.get(capability.key)
        if (before.version if before else 0) != expected_version:
            return False
        if capability.tenant_id and capability.deleted_at is None and (before is None or before.deleted_at):
            own = [other for other in self._capabilities.values() if other.tenant_id == capability.tenant_id]
            live = sum(other.deleted_at is None for other in own)
            require_capability_quota(live, len(own), self._quotas.capabilities, has_record=before is not None)
        if request is not None and not await self._save_request(request, capability.capability_id):
            return False
        self._capabilities[capability.key] = replace(capability, health=before.health if before else Health())
        self._notify(capability.key)
        return True

    async def update_health(
        self,
        key: CapabilityKey,
        change: Callable[[Health], Health],
        audit_action: Callable[[Health, Health], str],
        request: Request | None = None,
    ) -> Capability | None:
        before = self._capabilities.get(key)
        if before is None or before.deleted_at is not None:
            return None
        if request is not None and not await self._save_request(request, key.capability_id):
            return before
        after = self._capabilities[key] = replace(before, health=change(before.health))
        self._notify(key)
        return after

    async def save_ladder(self, ladder: Ladder, expected_version: int, request: Request | None = None) -> bool:
        key = OwnedLadderKey(ladder.tenant_id, ladder.key)
        before = self._ladders.get(key)
        if before is None and ladder.tenant_id:
            own = sum(other.tenant_id == ladder.tenant_id for other in self._ladders)
            require_ladder_quota(own, self._quotas.ladders)
        if (before.version if before else 0) != expected_version:
            return False
        if request is not None and not await self._save_request(request, ladder.key.name):
            return False
        self._ladders[key] = ladder
        self._notify(key)
        return True

    async def find_result(self, request: Request) -> str | None:
        saved = self._requests.get((request.tenant_id, request.key.request_id))
        if saved is None:
            return None
        digest, written = saved
        request.key.require_same(digest)
        return written

    async def save_result(self, request: Request, written: str) -> None:
        await self._save_request(request, written)

    async def _save_request(self, request: Request, written: str) -> bool:
        """Saves a request unless it was saved before; returns whether it is new."""
        if await self.find_result(request) is not None:
            return False
        if request.key.request_id:
            self._requests[(request.tenant_id, request.key.request_id)] = (request.key.digest, written)
        return True

    @asynccontextmanager
    async def listen(
        self, on_change: Callable[[ChangedKey], None], on_reset: Callable[[], None]
    ) -> AsyncIterator[None]:
        """Calls `on_change` within the process; no change can be missed, so `on_reset` is never called."""
        self._listeners.append(on_change)
        try:
            yield
        finally:
            self._listeners.remove(on_change)

    def _notify(self, changed: ChangedKey) -> None:
        for listener in self._listeners:
            listener(changed)
