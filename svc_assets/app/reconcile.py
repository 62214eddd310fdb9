"""Finds what a crash left behind and repairs it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from mesh.logging import get_logger
from svc_assets.domain.model import Status

if TYPE_CHECKING:
    from mesh.clock import Clock
    from svc_assets.domain.ports import Bytes, Rows

_log = get_logger(__name__)


class Reconciler:
    """Removes rows and bytes of uploads that never ended, and bytes of tombstones that were not erased."""

    def __init__(self, rows: Rows, blobs: Bytes, clock: Clock, *, grace_s: float, interval_s: float) -> None:
        self._rows = rows
        self._blobs = blobs
        self._clock = clock
        self._grace = timedelta(seconds=grace_s)
        self._interval_s = interval_s

    async def run(self) -> None:
        """Reconciles now and then, for ever."""
        while True:
            await self.once()
            await self._clock.sleep(self._interval_s)

    async def once(self) -> int:
        """Repairs what is older than the grace time; answers how many."""
        stale = await self._rows.stale(self._clock.now() - self._grace)
        for asset in stale:
            await self._blobs.delete(asset.storage_path)
            if asset.status is Status.PENDING:
                await self._rows.abandon(asset.asset_id, asset.tenant_id)
            else:
                await self._rows.erased(asset.asset_id, asset.tenant_id)
        if stale:
            _log.info("assets reconciled", repaired=len(stale))
        return len(stale)
