"""The live catalogue: everything in memory, kept true by the change feed, watched by selectors."""

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
"""Changes that wait to be read; with more, everything is read again."""


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

    async def next(self, seconds: float | None = None) -> Sequence[Change] | None:
        """Waits for changes; none when there were none for so many seconds, None when some were lost."""
        changes = await self._catalog.changes_after(self.after, seconds)
        if changes:
            self.after = changes[-1].revision
        return changes


class Catalog:
    """All capabilities and ladders.

    Revisions count within one process: `epoch` tells one process's from another's.
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
        """Loads everything and follows the feed until left, also across failures of the store."""
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
        """Reads what has changed. When a read fails, what it was of stays pending for the next start."""
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
        known = set(self.capabilities.all())
        async for capabilities in self._store.capabilities():
            known.difference_update(item.key for item in capabilities)
            await self._publish(capabilities, ())
        async for ladders in self._store.ladders():
            await self._publish((), ladders)
        for key in known:  # purged while nobody listened, or registered since: one more look decides
            await self.refresh(key)

    async def refresh(self, changed: ChangedKey) -> None:
        """Reads one thing again and publishes it when it is newer."""
        if isinstance(changed, OwnedLadderKey):
            ladder = await self._store.ladder(changed.tenant_id, changed.key)
            await self._publish((), (ladder,) if ladder else ())
            return
        capability = await self._store.capability(changed)
        if capability is None:
            await self._publish_purged(changed)
        else:
            await self._publish((capability,), ())

    async def _publish(self, capabilities: Sequence[Capability], ladders: Sequence[Ladder]) -> None:
        newer = [item for item in capabilities if self._is_newer(item)]
        changed = [item for item in ladders if self._is_newer_ladder(item)]
        if not newer and not changed:
            return
        async with self._changed:
            for item in newer:
                self._apply(item)
            for ladder in changed:
                self.ladders.put(ladder)
                self._history.add(ladder=ladder)
            self._changed.notify_all()

    async def _publish_purged(self, key: CapabilityKey) -> None:
        self._deleted.pop(key, None)
        item = self.capabilities.get(key)
        if item is not None:
            async with self._changed:
                self._remove(item)
                self._history.add(capability=replace(item, deleted_at=self._clock.now()))
                self._changed.notify_all()

    def _is_newer(self, item: Capability) -> bool:
        before = self.capabilities.get(item.key) or self._deleted.get(item.key)
        return item.supersedes(before) if before is not None else True

    def _is_newer_ladder(self, ladder: Ladder) -> bool:
        before = self.ladders.get(ladder.tenant_id, ladder.key)
        return before is None or ladder.version > before.version

    def _apply(self, item: Capability) -> None:
        before = self.capabilities.get(item.key)
        if item.deleted_at is None:
            self._deleted.pop(item.key, None)
            self._gauge.replace(before, item)
            self.capabilities.put(item)
            self._history.add(capability=item)
            return
        self._deleted[item.key] = item
        if before is not None:
            self._remove(before)
            self._history.add(capability=item)

    def _remove(self, item: Capability) -> None:
        self.capabilities.remove(item.key)
        self._gauge.replace(item, None)

    def view(self) -> View:
        """Everything as of now."""
        return View(self._history.revision, tuple(self.capabilities.all().values()), tuple(self.ladders.all()))

    def subscribe(self, after: int) -> Subscription | None:
        """Follows changes after a revision of this epoch; None when they are no longer all kept."""
        return Subscription(self, after) if self._history.after(after) is not None else None

    async def changes_after(self, revision: int, seconds: float | None = None) -> Sequence[Change] | None:
        """The next changes after `revision`, none when there are none for so many seconds.

        None when some of them are no longer kept.
        """
        async with self._changed:
            try:
                async with asyncio.timeout(seconds):
                    await self._changed.wait_for(lambda: self._history.revision > revision)
            except TimeoutError:
                return ()
            return self._history.after(revision)
