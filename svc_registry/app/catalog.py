"""The live catalogue: everything in memory, kept true by the change feed, watched by selectors."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING

from mesh.telemetry import gauge
from svc_registry.domain import PLATFORM, Capability, HealthState, Ladder, LadderKey, Modality

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

    from svc_registry.domain import ChangeFeed, Store

HISTORY = 4096
_LEVELS = {HealthState.UNKNOWN: 0, HealthState.HEALTHY: 1, HealthState.DEGRADED: 2, HealthState.UNHEALTHY: 3}


@dataclass(frozen=True)
class Change:
    """One capability or one ladder as it is after revision `revision`."""

    revision: int
    capability: Capability | None = None
    ladder: Ladder | None = None


@dataclass(frozen=True)
class View:
    """A snapshot and the revision it is of."""

    revision: int
    capabilities: Sequence[Capability]
    ladders: Sequence[Ladder]


class Subscription:
    """Changes after a revision, in order. A reader that falls behind the history must start anew."""

    def __init__(self, catalog: Catalog, after: int) -> None:
        self._catalog = catalog
        self.after = after

    async def next(self) -> Sequence[Change] | None:
        """Waits for changes; None when some were lost and a new view is needed."""
        changes = await self._catalog.changes_after(self.after)
        if changes:
            self.after = changes[-1].revision
        return changes


class Catalog:
    """All capabilities and ladders, indexed by modality and task type.

    Revisions count within one process: `epoch` tells one process's from another's.
    """

    def __init__(self, store: Store, feed: ChangeFeed, epoch: str) -> None:
        self.epoch = epoch
        self._store = store
        self._feed = feed
        self._capabilities: dict[str, Capability] = {}
        self._ladders: dict[tuple[str, LadderKey], Ladder] = {}
        self._by_modality: dict[Modality, dict[str, Capability]] = {}
        self._revision = 0
        self._floor = 0
        self._history: deque[Change] = deque(maxlen=HISTORY)
        self._changed = asyncio.Condition()
        self._health = gauge(
            "capability_health_status", "Health, 0 (unknown), 1 (healthy) to 3 (unhealthy).", ("tool_id", "provider")
        )
        self._todo: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Catalog]:
        """Loads everything and follows the feed until left."""
        listening = self._feed.listen(
            lambda kind, id_: self._todo.put_nowait((kind, id_)), lambda: self._todo.put_nowait(("reset", ""))
        )
        async with listening:
            await self.reload()
            follower = asyncio.create_task(self._follow(), name="registry-catalog")
            try:
                yield self
            finally:
                follower.cancel()
                await asyncio.gather(follower, return_exceptions=True)

    async def _follow(self) -> None:
        while True:
            kind, id_ = await self._todo.get()
            await (self.reload() if kind == "reset" else self.refresh(kind, id_))

    async def reload(self) -> None:
        """Reads everything again and publishes what differs."""
        changes: list[Capability | Ladder] = [
            item for item in await self._store.capabilities() if self._capabilities.get(item.capability_id) != item
        ]
        ladders = await self._store.ladders()
        changes += [item for item in ladders if self._ladders.get((item.tenant_id, item.key)) != item]
        await self._publish(changes)

    async def refresh(self, kind: str, id_: str) -> None:
        """Reads one thing again and publishes it when it differs."""
        if kind == "capability":
            capability = await self._store.capability(id_)
            if capability is not None and self._capabilities.get(id_) != capability:
                await self._publish([capability])
            return
        tenant_id, modality, task_type = id_.split("/", 2)
        ladder = await self._store.ladder(tenant_id, LadderKey(Modality(modality), task_type))
        if ladder is not None and self._ladders.get((tenant_id, ladder.key)) != ladder:
            await self._publish([ladder])

    async def _publish(self, items: Iterable[Capability | Ladder]) -> None:
        async with self._changed:
            for item in items:
                self._revision += 1
                self._history.append(self._apply(item))
            self._floor = self._history[0].revision - 1 if self._history else self._revision
            self._changed.notify_all()

    def _apply(self, item: Capability | Ladder) -> Change:
        if isinstance(item, Ladder):
            self._ladders[(item.tenant_id, item.key)] = item
            return Change(self._revision, ladder=item)
        self._capabilities[item.capability_id] = item
        self._health.labels(item.tool_id, item.provider).set(_LEVELS[item.health.state])
        for index in self._by_modality.values():
            index.pop(item.capability_id, None)
        for modality in item.modalities:
            self._by_modality.setdefault(modality, {})[item.capability_id] = item
        return Change(self._revision, capability=item)

    def view(self) -> View:
        """Everything as of now."""
        return View(self._revision, tuple(self._capabilities.values()), tuple(self._ladders.values()))

    def subscribe(self, after: int) -> Subscription | None:
        """Follows changes after a revision of this epoch; None when they are no longer all kept."""
        return Subscription(self, after) if self._floor <= after <= self._revision else None

    async def changes_after(self, revision: int) -> Sequence[Change] | None:
        """Waits until there are changes after `revision`; None when some of them are no longer kept."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._revision > revision)
            if revision < self._floor:
                return None
            newest_first = takewhile(lambda change: change.revision > revision, reversed(self._history))
            return [*newest_first][::-1]

    def get(self, capability_id: str) -> Capability | None:
        """One capability."""
        return self._capabilities.get(capability_id)

    def all(self) -> Mapping[str, Capability]:
        """All capabilities by id."""
        return self._capabilities

    def of(self, modality: Modality) -> Mapping[str, Capability]:
        """Capabilities of a modality by id."""
        return self._by_modality.get(modality, {})

    def ladder_for(self, tenant_id: str, key: LadderKey) -> Ladder | None:
        """The ladder in force: the tenant's own where it has a list, else the platform's."""
        own = self._ladders.get((tenant_id, key)) if tenant_id != PLATFORM else None
        return own if own is not None and own.capability_ids else self._ladders.get((PLATFORM, key))

    def ladders_for(self, tenant_id: str) -> Sequence[Ladder]:
        """The ladders in force, ordered by key."""
        found = (self.ladder_for(tenant_id, key) for key in sorted({key for _, key in self._ladders}))
        return [ladder for ladder in found if ladder is not None]
