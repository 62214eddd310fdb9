"""Capabilities and ladders in the memory of one process."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from mesh.errors import Reason, SomaError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from svc_registry.domain import Capability, Health, Ladder, LadderKey


class MemoryStore:
    """Store and change feed in one; nothing outlives the process, and events are not published."""

    def __init__(self) -> None:
        self._capabilities: dict[str, Capability] = {}
        self._ladders: dict[tuple[str, LadderKey], Ladder] = {}
        self._requests: dict[tuple[str, str], tuple[str, str]] = {}
        self._listeners: list[Callable[[str, str], None]] = []

    async def capabilities(self) -> Sequence[Capability]:
        """All of them."""
        return tuple(self._capabilities.values())

    async def ladders(self) -> Sequence[Ladder]:
        """All of them."""
        return tuple(self._ladders.values())

    async def capability(self, capability_id: str) -> Capability | None:
        """One, as it is now."""
        return self._capabilities.get(capability_id)

    async def ladder(self, tenant_id: str, key: LadderKey) -> Ladder | None:
        """One, as it is now."""
        return self._ladders.get((tenant_id, key))

    async def save_capability(self, capability: Capability, expected_version: int, subject: str) -> bool:
        """Writes when the stored version is the expected one."""
        before = self._capabilities.get(capability.capability_id)
        if (before.version if before else 0) != expected_version:
            return False
        self._capabilities[capability.capability_id] = capability
        self._tell("capability", capability.capability_id)
        return True

    async def save_health(self, capability_id: str, health: Health, action: str) -> bool:
        """Writes health alone."""
        before = self._capabilities.get(capability_id)
        if before is None:
            return False
        self._capabilities[capability_id] = replace(before, health=health)
        self._tell("capability", capability_id)
        return True

    async def save_ladder(self, ladder: Ladder, expected_version: int) -> bool:
        """Writes when the stored version is the expected one."""
        before = self._ladders.get((ladder.tenant_id, ladder.key))
        if (before.version if before else 0) != expected_version:
            return False
        self._ladders[(ladder.tenant_id, ladder.key)] = ladder
        self._tell("ladder", f"{ladder.tenant_id}/{ladder.key.modality}/{ladder.key.task_type}")
        return True

    async def replayed(self, tenant_id: str, request_id: str, digest: str) -> str | None:
        """What the request id wrote before."""
        kept = self._requests.get((tenant_id, request_id))
        if kept is None:
            return None
        if kept[0] != digest:
            raise SomaError(Reason.IDEMPOTENCY_MISMATCH, "this request_id was used with another body; take a new one")
        return kept[1]

    async def remember(self, tenant_id: str, request_id: str, digest: str, capability_id: str) -> None:
        """Keeps what a request id wrote."""
        self._requests.setdefault((tenant_id, request_id), (digest, capability_id))

    @asynccontextmanager
    async def listen(self, on_change: Callable[[str, str], None], on_reset: Callable[[], None]) -> AsyncIterator[None]:
        """Calls back within the process; nothing can be missed, so `on_reset` is never called."""
        self._listeners.append(on_change)
        try:
            yield
        finally:
            self._listeners.remove(on_change)

    def _tell(self, kind: str, id_: str) -> None:
        for listener in self._listeners:
            listener(kind, id_)
