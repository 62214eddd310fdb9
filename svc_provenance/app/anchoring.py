"""Anchors audit chains, creates the partitions of months ahead, and drops months that are old enough."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from svc_provenance.domain.audit import Statement

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mesh.clock import Clock
    from svc_provenance.app.ports import AnchoringStore, AnchorStore, StatementSigner
    from svc_provenance.domain.audit import ChainPosition

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AnchorSchedule:
    """How often a chain is anchored: after so many entries, or so many seconds; checked every `poll_interval_s`."""

    entries: int
    seconds: float
    poll_interval_s: float


class Anchorer:
    """Anchors chains. `on_conflict` is called for a chain whose head is not what an anchor of its sequence says.

    `on_due` is called with the number of chains that are due, before and after: one that stays says that anchors
    cannot be made.
    """

    def __init__(
        self,
        store: AnchoringStore,
        anchors: AnchorStore,
        signer: StatementSigner,
        schedule: AnchorSchedule,
        clock: Clock,
        *,
        on_made: Callable[[], None] = lambda: None,
        on_conflict: Callable[[], None] = lambda: None,
        on_due: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._anchors = anchors
        self._signer = signer
        self._schedule = schedule
        self._clock = clock
        self._on_made = on_made
        self._on_conflict = on_conflict
        self._on_due = on_due

    async def run(self) -> None:
        """Anchors chains that are due, for ever."""
        while True:
            await self.anchor_due_chains()
            await self._clock.sleep(self._schedule.poll_interval_s)

    async def anchor_due_chains(self) -> None:
        """Anchors the chains that are due."""
        before = self._clock.now() - timedelta(seconds=self._schedule.seconds)
        due = await self._store.chains_due(self._schedule.entries, before)
        self._on_due(len(due))
        for chain, head in due.items():
            await self.anchor_chain(chain, head)
        self._on_due(0)

    async def anchor_chain(self, chain: str, head: ChainPosition) -> None:
        """Anchors one chain; another replica may have done so."""
        anchor = await self._signer.sign(Statement.ANCHOR, chain, head)
        if await self._anchors.put(anchor):
            self._on_made()
        else:
            stored = await self._anchors.read(chain, head.sequence)
            if stored is None or stored.position != head:
                _log.error("an anchor of entry %d says another digest than the chain", head.sequence)
                self._on_conflict()
                return
        await self._store.record_anchor(chain, head.sequence, anchor.created_at)


class AuditMaintenance:
    """Creates partitions ahead, and drops months that are older than the longest retention of any tenant."""

    def __init__(
        self, store: AnchoringStore, signer: StatementSigner, longest_days: Callable[[], Awaitable[int]], clock: Clock
    ) -> None:
        self._store = store
        self._signer = signer
        self._longest_days = longest_days
        self._clock = clock

    async def run(self) -> int:
        """Runs once; returns the number of entries dropped."""
        now = self._clock.now()
        await self._store.create_partitions(now.date())
        before = now - timedelta(days=await self._longest_days())
        dropped = 0
        while (month := await self._store.oldest_month(before)) is not None:
            last = await self._store.last_positions(month)
            starts = [await self._signer.sign(Statement.START, chain, position) for chain, position in last.items()]
            dropped += await self._store.drop_month(month, starts)
            _log.info("dropped the audit entries of %s", month)
        return dropped
