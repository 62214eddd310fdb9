"""Sweeps: delete the bytes and rows that crashes and erasures leave, and the holders of tombstones."""

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
    from svc_assets.app.ports import AssetStore, BlobStore, SweepState
    from svc_assets.domain.model import Asset, StoredBlob

CLAIM_BATCH_SIZE = 100
LISTING_PAGE_SIZE = 500
RETRY_AFTER_S = 60.0
LEASE_S = 300.0
_PATH = re.compile(r"[^/]+/([0-9a-f]{2})/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
_log = get_logger(__name__)


@dataclass(frozen=True)
class SweepTimes:
    """Intervals of the sweeps, in seconds.

    `orphan_grace_s` is the age at which a blob without a row, or the partial file of an interrupted put, is deleted;
    longer than any upload takes.
    """

    every_s: float
    listing_every_s: float
    orphan_grace_s: float


class Reconciler:
    """Compares rows with blobs and blobs with rows. Any number of replicas may run it at once.

    `on_deleted` is called with the kind of each thing deleted ("upload", "tombstone", "orphan", "unfinished").
    """

    def __init__(
        self,
        store: AssetStore,
        blobs: BlobStore,
        state: SweepState,
        clock: Clock,
        *,
        times: SweepTimes,
        on_deleted: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._state = state
        self._clock = clock
        self._times = times
        self._on_deleted = on_deleted

    async def run(self) -> None:
        """Sweeps every `times.every_s` seconds until cancelled."""
        while True:
            await self.sweep_rows()
            await self.sweep_holders()
            await self.sweep_blobs()
            await self._clock.sleep(self._times.every_s)

    async def sweep_rows(self) -> int:
        """Deletes the bytes of the rows that it claims, then the rows; returns how many. What fails is retried later.

        A claimed row can no longer become READY, so no bytes are deleted that an upload may still commit.
        """
        deleted = 0
        while claimed := await self._claim_for_deletion():
            for asset in claimed:
                deleted += await self._delete_bytes(asset)
        return deleted

    async def _claim_for_deletion(self) -> Sequence[Asset]:
        return await self._store.claim_for_deletion(self._clock.now(), self._now_plus(RETRY_AFTER_S), CLAIM_BATCH_SIZE)

    async def _delete_bytes(self, asset: Asset) -> bool:
        try:
            if not asset.is_inline:
                await self._blobs.delete(asset.storage_path)
            await self._store.confirm_deletion(asset)
        except SomaError as error:
            _log.warning("bytes could not be deleted", asset_id=asset.asset_id, reason=error.reason.value)
            return False
        self._on_deleted("tombstone" if asset.status is Status.TOMBSTONED else "upload")
        return True

    async def sweep_holders(self) -> int:
        """Removes the holders that erasures left, in batches; returns how many batches. What fails is retried later."""
        now, batches = self._clock.now(), 0
        while (asset := await self._store.claim_tombstone_with_holders(now, self._now_plus(RETRY_AFTER_S))) is not None:
            batches += await self._remove_holders(asset, now)
        return batches

    async def _remove_holders(self, asset: Asset, now: datetime) -> bool:
        try:
            await self._store.remove_holders(asset, now)
        except SomaError as error:
            _log.warning("holders could not be removed", asset_id=asset.asset_id, reason=error.reason.value)
            return False
        return True

    async def sweep_blobs(self) -> int:
        """Deletes blobs that no row uses, and partial files, every `times.listing_every_s` seconds; returns how many.

        Continues where a crash interrupted it.
        """
        now = self._clock.now()
        finished_before = now - timedelta(seconds=self._times.listing_every_s)
        cursor = await self._state.acquire(now, finished_before, self._now_plus(LEASE_S))
        if cursor is None:
            return 0
        if not await self._blobs.claim_store(await self._state.store_id()):
            _log.error("the blob store belongs to the rows of another mesh: it is not swept")
            await self._state.finish(now)
            return 0
        deleted = await self._sweep_unfinished(cursor)
        async for page in self._blobs.pages(cursor, LISTING_PAGE_SIZE):
            deleted += await self._sweep_page(page)
            await self._state.advance(page[-1].path, self._now_plus(LEASE_S))
        await self._state.finish(self._clock.now())
        return deleted

    async def _sweep_unfinished(self, cursor: str) -> int:
        """Deletes the partial files of interrupted puts, which the listing does not return."""
        before, deleted = self._now_plus(-self._times.orphan_grace_s), 0
        async for removed in self._blobs.remove_unfinished(before, LISTING_PAGE_SIZE):
            for _ in range(removed):
                self._on_deleted("unfinished")
            deleted += removed
            await self._state.advance(cursor, self._now_plus(LEASE_S))
        if deleted:
            _log.warning("unfinished blobs of processes that were killed were deleted", blobs=deleted)
        return deleted

    async def _sweep_page(self, page: Sequence[StoredBlob]) -> int:
        """Deletes the blobs of a page that are old enough and belong to no row. A row is written before its bytes."""
        before = self._now_plus(-self._times.orphan_grace_s)
        old = [blob.path for blob in page if blob.modified_at < before]
        paths = {match[2]: path for path in old if (match := _asset_path(path))}
        deleted = 0
        for asset_id in await self._store.filter_unreferenced(list(paths)) if paths else ():
            deleted += await self._delete_orphan(asset_id, paths[asset_id])
        return deleted

    async def _delete_orphan(self, asset_id: str, path: str) -> bool:
        try:
            await self._blobs.delete(path)
        except SomaError as error:
            _log.warning("a blob of no row could not be deleted", asset_id=asset_id, reason=error.reason.value)
            return False
        _log.warning("a blob of no row was deleted", asset_id=asset_id)
        self._on_deleted("orphan")
        return True

    def _now_plus(self, seconds: float) -> datetime:
        return self._clock.now() + timedelta(seconds=seconds)


def _asset_path(path: str) -> re.Match[str] | None:
    """Matches the path of an asset; other parts of the mesh have their blobs in the same store."""
    match = _PATH.fullmatch(path)
    return match if match and match[2].endswith(match[1]) else None
