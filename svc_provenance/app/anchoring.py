"""Work beside the chains: anchors are made, months ahead are laid out, and months that are old enough are dropped."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from svc_provenance.domain.audit import Statement

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mesh.clock import Clock
    from svc_provenance.app.ports import AnchoringStore, Anchors, Signatures
    from svc_provenance.domain.audit import ChainPosition

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AnchorSchedule:
    """How often a chain is anchored: after so many entries, or so many seconds; looked at every `poll_s`."""

    entries: int
    seconds: float
    poll_s: float


class Anchorer:
    """Makes anchors. `on_conflict` hears of a chain whose head is not what an anchor of its place says.

    `on_due` hears how many chains are due, before and after: a number that stays tells that anchors cannot be made.
    """

    def __init__(
        self,
        store: AnchoringStore,
        anchors: Anchors,
        signatures: Signatures,
        pace: AnchorSchedule,
        clock: Clock,
        *,
        on_made: Callable[[], None] = lambda: None,
        on_conflict: Callable[[], None] = lambda: None,
        on_due: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._anchors = anchors
        self._signatures = signatures
        self._pace = pace
        self._clock = clock
        self._on_made = on_made
        self._on_conflict = on_conflict
        self._on_due = on_due

    async def work(self) -> None:
        """Makes anchors, for ever."""
        while True:
            await self.anchor_due_chains()
            await self._clock.sleep(self._pace.poll_s)

    async def anchor_due_chains(self) -> None:
        """Makes the anchors that are due."""
        before = self._clock.now() - timedelta(seconds=self._pace.seconds)
        due = await self._store.due(self._pace.entries, before)
        self._on_due(len(due))
        for chain, end in due.items():
            await self.make(chain, end)
        self._on_due(0)

    async def make(self, chain: str, end: ChainPosition) -> None:
        """Makes one; another member may have made it."""
        anchor = await self._signatures.sign(Statement.ANCHOR, chain, end)
        if await self._anchors.put(anchor):
            self._on_made()
        else:
            stored = await self._anchors.read(chain, end.sequence)
            if stored is None or stored.end != end:
                _log.error("an anchor of entry %d says another digest than the chain", end.sequence)
                self._on_conflict()
                return
        await self._store.record_anchor(chain, end.sequence, anchor.created_at)


class AuditMaintenance:
    """Keeps the table of chains laid out by month, and drops months older than the longest term of any tenant."""

    def __init__(
        self, store: AnchoringStore, signatures: Signatures, longest_days: Callable[[], Awaitable[int]], clock: Clock
    ) -> None:
        self._store = store
        self._signatures = signatures
        self._longest_days = longest_days
        self._clock = clock

    async def run(self) -> int:
        """Lays out and drops; gives the number of entries dropped."""
        now = self._clock.now()
        await self._store.create_partitions(now.date())
        before = now - timedelta(days=await self._longest_days())
        dropped = 0
        while (month := await self._store.oldest(before)) is not None:
            ends = await self._store.ends(month)
            starts = [await self._signatures.sign(Statement.START, chain, end) for chain, end in ends.items()]
            dropped += await self._store.drop(month, starts)
            _log.info("dropped the audit entries of %s", month)
        return dropped
