"""Deletes what crashes and erasures leave: bytes that no asset has any more, and holders of tombstones."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from mesh.errors import SomaError
from mesh.logging import get_logger
from svc_assets.domain.model import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from mesh.clock import Clock
    from svc_assets.app.ports import Bytes, Rows, SweepState
    from svc_assets.domain.model import Asset, StoredBlob

BATCH = 100
PAGE = 500
AGAIN_S = 60.0
LEASE_S = 300.0
_PATH = re.compile(r"[^/]+/([0-9a-f]{2})/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
_log = get_logger(__name__)


@dataclass(frozen=True)
class SweepTimes:
    """When sweeps run. `orphan_grace_s` is the age at which a blob without a row, or what a killed process left of one,
    is deleted; longer than any upload.
    """

    every_s: float
    listing_every_s: float
    orphan_grace_s: float


class Reconciler:
    """Sweeps rows against bytes and bytes against rows. Any number of replicas may do so at once.

    `removed` is told the kind of what was deleted ("upload", "tombstone", "orphan", "unfinished").
    """

    def __init__(
        self,
        rows: Rows,
        blobs: Bytes,
        state: SweepState,
        clock: Clock,
        *,
        times: SweepTimes,
        removed: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._rows = rows
        self._blobs = blobs
        self._state = state
        self._clock = clock
        self._times = times
        self._removed = removed

    async def run(self) -> None:
        """Sweeps now and then, for ever."""
        while True:
            await self.sweep_rows()
            await self.sweep_holders()
            await self.sweep_blobs()
            await self._clock.sleep(self._times.every_s)

    async def sweep_rows(self) -> int:
        """Deletes the bytes of rows that are claimed, then the rows; answers how many. What fails is tried later.

        A claimed row can no longer become READY, so nothing is deleted that an upload may still commit.
        """
        done = 0
        while claimed := await self._rows.claim(self._clock.now(), self._later(AGAIN_S), BATCH):
            for asset in claimed:
                done += await self._finish(asset)
        return done

    async def _finish(self, asset: Asset) -> bool:
        try:
            if not asset.is_inline:
                await self._blobs.delete(asset.storage_path)
            await self._rows.bytes_deleted(asset)
        except SomaError as error:
            _log.warning("bytes could not be deleted", asset_id=asset.asset_id, reason=error.reason.value)
            return False
        self._removed("tombstone" if asset.status is Status.TOMBSTONED else "upload")
        return True

    async def sweep_holders(self) -> int:
        """Removes the holders that erasures left, some at a time; answers how many times. What fails is tried later."""
        now, done = self._clock.now(), 0
        while (asset := await self._rows.claim_holders(now, self._later(AGAIN_S))) is not None:
            done += await self._remove_holders(asset, now)
        return done

    async def _remove_holders(self, asset: Asset, now: datetime) -> bool:
        try:
            await self._rows.remove_holders(asset, now)
        except SomaError as error:
            _log.warning("holders could not be removed", asset_id=asset.asset_id, reason=error.reason.value)
            return False
        return True

    async def sweep_blobs(self) -> int:
        """Deletes blobs that no row has bytes for, and unfinished ones, once a term; answers how many.

        Goes on where a crash ended it.
        """
        now = self._clock.now()
        finished_before = now - timedelta(seconds=self._times.listing_every_s)
        cursor = await self._state.take(now, finished_before, self._later(LEASE_S))
        if cursor is None:
            return 0
        if not await self._blobs.claim_store(await self._state.store_id()):
            _log.error("the blob store belongs to the rows of another mesh: it is not swept")
            await self._state.finish(now)
            return 0
        done = await self._sweep_unfinished(cursor)
        async for page in self._blobs.pages(cursor, PAGE):
            done += await self._sweep_page(page)
            await self._state.advance(page[-1].path, self._later(LEASE_S))
        await self._state.finish(self._clock.now())
        return done

    async def _sweep_unfinished(self, cursor: str) -> int:
        """Deletes what processes that were killed left of blobs; the listing does not show it."""
        before, done = self._later(-self._times.orphan_grace_s), 0
        async for removed in self._blobs.remove_unfinished(before, PAGE):
            for _ in range(removed):
                self._removed("unfinished")
            done += removed
            await self._state.advance(cursor, self._later(LEASE_S))
        if done:
            _log.warning("unfinished blobs of processes that were killed were deleted", blobs=done)
        return done

    async def _sweep_page(self, page: Sequence[StoredBlob]) -> int:
        """Deletes what of a page is old enough and belongs to no row. A row is there before its bytes are."""
        before = self._later(-self._times.orphan_grace_s)
        found = {match[2]: blob.path for blob in page if blob.modified < before and (match := _asset_path(blob.path))}
        done = 0
        for asset_id in await self._rows.unreferenced(list(found)) if found else ():
            done += await self._delete_orphan(asset_id, found[asset_id])
        return done

    async def _delete_orphan(self, asset_id: str, path: str) -> bool:
        try:
            await self._blobs.delete(path)
        except SomaError as error:
            _log.warning("a blob of no row could not be deleted", asset_id=asset_id, reason=error.reason.value)
            return False
        _log.warning("a blob of no row was deleted", asset_id=asset_id)
        self._removed("orphan")
        return True

    def _later(self, seconds: float) -> datetime:
        return self._clock.now() + timedelta(seconds=seconds)


def _asset_path(path: str) -> re.Match[str] | None:
    """A path that only an asset's bytes have; other parts of the mesh keep theirs in the same store."""
    match = _PATH.fullmatch(path)
    return match if match and match[2].endswith(match[1]) else None
