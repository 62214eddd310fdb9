"""The catalog: all capabilities and ladders in memory, updated from the change feed, watched by selectors."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mesh.clock import SystemClock
from mesh.lifecycle import background
from svc_registry.app.gauges import HealthGauge
from svc_registry.app.history import Change, History
from svc_registry.app.index import CapabilityIndex, LadderIndex
from svc_registry.app.ports import OwnedLadderKey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from mesh.clock import Clock
    from svc_registry.app.ports import ChangedKey, ChangeFeed, Store
    from svc_registry.domain import Capability, CapabilityKey, Ladder

MAX_PENDING = 10_000
"""Changed keys that may wait to be read; with more of them, everything is read again."""


@dataclass(frozen=True)
class Snapshot:
    """All capabilities and ladders as of one revision."""

    revision: int
    capabilities: Sequence[Capability]
    ladders: Sequence[Ladder]


class Subscription:
    """Reads the changes after a revision, in order. A reader that falls behind the history needs a new snapshot."""

    def __init__(self, catalog: Catalog, revision: int) -> None:
        self._catalog = catalog
        self.revision = revision
        """The revision of the last change that was returned."""

    async def next(self, timeout_s: float | None = None) -> Sequence[Change] | None:
        """Waits for changes; returns none of them after the timeout, None when some are no longer in the history."""
        changes = await self._catalog.changes_after(self.revision, timeout_s)
        if changes:
            self.revision = changes[-1].revision
        return changes


class Catalog:
    """All capabilities and ladders.

    Revisions count within one process; `epoch` identifies the process that they are of.
    """

    def __init__(self, store: Store, feed: ChangeFeed, epoch: str, clock: Clock | None = None) -> None:
        self.epoch = epoch
        self.capabilities = CapabilityIndex()
        self.ladders = LadderIndex()
        self._store = store
        self._feed = feed
        self._clock = clock or SystemClock()
        self._deleted: dict[CapabilityKey, Capability] = {}
        self._history = History()
        self._changed = asyncio.Condition()
        self._gauge = HealthGauge()
        self._pending: dict[ChangedKey, None] = {}
        self._reset = False
        self._wake = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Catalog]:
        """Loads everything and follows the change feed until the block ends, also across failures of the store."""
        async with self._feed.listen(self._on_change, self._on_reset):
            await self.reload()
            async with background(self._follow, "registry-catalog", clock=self._clock):
                yield self

    def _on_change(self, changed: ChangedKey) -> None:
        self._pending[changed] = None
        if len(self._pending) > MAX_PENDING:
            self._on_reset()
        self._wake.set()

    def _on_reset(self) -> None:
        self._reset = True
        self._pending.clear()
        self._wake.set()

    async def _follow(self) -> None:
        """Reads what has changed. When a read fails, its key stays pending for the restart of this task."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._read_pending()
            except BaseException:
                self._wake.set()
                raise

    async def _read_pending(self) -> None:
        if self._reset:
            self._pending.clear()
            self._reset = False
            try:
                await self.reload()
            except BaseException:
                self._reset = True
                raise
        while self._pending:
            changed = next(iter(self._pending))
            del self._pending[changed]
            try:
                await self.refresh(changed)
            except BaseException:
                self._pending[changed] = None
                raise

    async def reload(self) -> None:
        """Reads everything again and publishes what differs."""
        unseen = set(self.capabilities.all())
        async for capabilities in self._store.list_capabilities():
            unseen.difference_update(capability.key for capability in capabilities)
            await self._publish(capabilities, ())
        async for ladders in self._store.list_ladders():
            await self._publish((), ladders)
        for key in unseen:  # purged while this process did not listen, or registered since: another read decides
            await self.refresh(key)

    async def refresh(self, changed: ChangedKey) -> None:
        """Reads one capability or ladder again and publishes it when it is newer."""
        if isinstance(changed, OwnedLadderKey):
            ladder = await self._store.get_ladder(changed.tenant_id, changed.key)
            await self._publish((), (ladder,) if ladder else ())
            return
        capability = await self._store.get_capability(changed)
        if capability is None:
            await self._publish_purged(changed)
        else:
            await self._publish((capability,), ())

    async def _publish(self, capabilities: Sequence[Capability], ladders: Sequence[Ladder]) -> None:
        newer_capabilities = [capability for capability in capabilities if self._is_newer(capability)]
        newer_ladders = [ladder for ladder in ladders if self._is_newer_ladder(ladder)]
        if not newer_capabilities and not newer_ladders:
            return
        async with self._changed:
            for capability in newer_capabilities:
                self._apply(capability)
            for ladder in newer_ladders:
                self.ladders.put(ladder)
                self._history.add(ladder=ladder)
            self._changed.notify_all()

    async def _publish_purged(self, key: CapabilityKey) -> None:
        self._deleted.pop(key, None)
        capability = self.capabilities.get(key)
        if capability is not None:
            async with self._changed:
                self._remove(capability)
                self._history.add(capability=replace(capability, deleted_at=self._clock.now()))
                self._changed.notify_all()

    def _is_newer(self, capability: Capability) -> bool:
        before = self.capabilities.get(capability.key) or self._deleted.get(capability.key)
        return capability.supersedes(before) if before is not None else True

    def _is_newer_ladder(self, ladder: Ladder) -> bool:
        before = self.ladders.get(ladder.tenant_id, ladder.key)
        return before is None or ladder.version > before.version

    def _apply(self, capability: Capability) -> None:
        before = self.capabilities.get(capability.key)
        if capability.deleted_at is None:
            self._deleted.pop(capability.key, None)
            self._gauge.update(before, capability)
            self.capabilities.put(capability)
            self._history.add(capability=capability)
            return
        self._deleted[capability.key] = capability
        if before is not None:
            self._remove(before)
            self._history.add(capability=capability)

    def _remove(self, capability: Capability) -> None:
        self.capabilities.remove(capability.key)
        self._gauge.update(capability, None)

    def snapshot(self) -> Snapshot:
        """Returns everything as of the current revision."""
        return Snapshot(self._history.revision, tuple(self.capabilities.all().values()), tuple(self.ladders.all()))

    def subscribe(self, revision: int) -> Subscription | None:
        """Subscribes to the changes after a revision of this epoch; None when some are no longer in the history."""
        return Subscription(self, revision) if self._history.changes_after(revision) is not None else None

    async def changes_after(self, revision: int, timeout_s: float | None = None) -> Sequence[Change] | None:
        """Waits for the next changes after `revision`; returns none of them after the timeout.

        None when some of them are no longer in the history.
        """
        async with self._changed:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._changed.wait_for(lambda: self._history.revision > revision)
            except TimeoutError:
                return ()
            return self._history.changes_after(revision)
