"""Capabilities and ladders in the memory of one process."""

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
    """Store and change feed in one; nothing outlives the process, and events are not published."""

    def __init__(self, quotas: Quotas | None = None) -> None:
        self._quotas = quotas or Quotas()
        self._capabilities: dict[CapabilityKey, Capability] = {}
        self._ladders: dict[OwnedLadderKey, Ladder] = {}
        self._requests: dict[tuple[str, str], tuple[str, str]] = {}
        self._listeners: list[Callable[[ChangedKey], None]] = []

    async def capabilities(self) -> AsyncIterator[Sequence[Capability]]:
        """All of them, in one page."""
        yield tuple(self._capabilities.values())

    async def ladders(self) -> AsyncIterator[Sequence[Ladder]]:
        """All of them, in one page."""
        yield tuple(self._ladders.values())

    async def capability(self, key: CapabilityKey) -> Capability | None:
        """One, as it is now."""
        return self._capabilities.get(key)

    async def ladder(self, tenant_id: str, key: LadderKey) -> Ladder | None:
        """One, as it is now."""
        return self._ladders.get(OwnedLadderKey(tenant_id, key))

    async def save_capability(
        self, capability: Capability, expected_version: int, subject: str, request: Request | None = None
    ) -> bool:
        """Writes when the stored version is the expected one."""
        before = self._capabilities.get(capability.key)
        if (before.version if before else 0) != expected_version:
            return False
        if capability.tenant_id and capability.deleted_at is None and (before is None or before.deleted_at):
            own = [item for item in self._capabilities.values() if item.tenant_id == capability.tenant_id]
            live = sum(item.deleted_at is None for item in own)
            require_capability_quota(live, len(own), self._quotas.capabilities, has_record=before is not None)
        if request is not None and not await self._keep(request, capability.capability_id):
            return False
        self._capabilities[capability.key] = replace(capability, health=before.health if before else Health())
        self._announce(capability.key)
        return True

    async def change_health(
        self,
        key: CapabilityKey,
        change: Callable[[Health], Health],
        audited: Callable[[Health, Health], str],
        request: Request | None = None,
    ) -> Capability | None:
        """Changes health; nothing is audited."""
        before = self._capabilities.get(key)
        if before is None or before.deleted_at is not None:
            return None
        if request is not None and not await self._keep(request, key.capability_id):
            return before
        after = self._capabilities[key] = replace(before, health=change(before.health))
        self._announce(key)
        return after

    async def save_ladder(self, ladder: Ladder, expected_version: int, request: Request | None = None) -> bool:
        """Writes when the stored version is the expected one."""
        address = OwnedLadderKey(ladder.tenant_id, ladder.key)
        before = self._ladders.get(address)
        if before is None and ladder.tenant_id:
            own = sum(known.tenant_id == ladder.tenant_id for known in self._ladders)
            require_ladder_quota(own, self._quotas.ladders)
        if (before.version if before else 0) != expected_version:
            return False
        if request is not None and not await self._keep(request, ladder.key.name):
            return False
        self._ladders[address] = ladder
        self._announce(address)
        return True

    async def replayed(self, request: Request) -> str | None:
        """What the request wrote before."""
        known = self._requests.get((request.tenant_id, request.key.request_id))
        if known is None:
            return None
        request.key.require_same(known[0])
        return known[1]

    async def remember(self, request: Request, name: str) -> None:
        """Keeps what a request wrote."""
        await self._keep(request, name)

    async def _keep(self, request: Request, name: str) -> bool:
        """Whether the request comes for the first time."""
        if await self.replayed(request) is not None:
            return False
        if request.key.request_id:
            self._requests[(request.tenant_id, request.key.request_id)] = (request.key.digest, name)
        return True

    @asynccontextmanager
    async def listen(
        self, on_change: Callable[[ChangedKey], None], on_reset: Callable[[], None]
    ) -> AsyncIterator[None]:
        """Calls back within the process; nothing can be missed, so `on_reset` is never called."""
        self._listeners.append(on_change)
        try:
            yield
        finally:
            self._listeners.remove(on_change)

    def _announce(self, changed: ChangedKey) -> None:
        for listener in self._listeners:
            listener(changed)
