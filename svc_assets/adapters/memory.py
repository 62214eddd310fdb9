"""Rows and bytes in the memory of one process."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mesh.errors import Reason, SomaError
from svc_assets.domain.model import Asset, Status

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from datetime import datetime

    from svc_assets.domain.model import Listing

PIECE = 256 * 1024


class MemoryRows:
    """Rows; nothing outlives the process, and events are not published."""

    def __init__(self) -> None:
        self._assets: dict[str, Asset] = {}
        self._holders: dict[str, set[str]] = {}
        self._requests: dict[tuple[str, str], str] = {}
        self._erased: set[str] = set()

    async def begin(self, asset: Asset) -> None:
        """Writes a PENDING row."""
        self._assets[asset.asset_id] = asset

    async def commit(self, asset: Asset, holder: str, request_id: str) -> Asset:
        """Makes the row READY, or gives its holder to the asset that has the bytes."""
        stored = await self.by_checksum(asset.tenant_id, asset.checksum)
        if stored is None:
            if asset.asset_id not in self._assets:
                raise SomaError(Reason.CONFLICT, "the same bytes were erased meanwhile; send them again")
            stored = replace(asset, status=Status.READY)
            self._assets[asset.asset_id] = stored
        else:
            await self.abandon(asset.asset_id, asset.tenant_id)
        self._holders.setdefault(stored.asset_id, set()).add(holder)
        if request_id:
            self._requests.setdefault((asset.tenant_id, request_id), stored.asset_id)
        return replace(self._counted(stored), deduplicated=stored.asset_id != asset.asset_id)

    def _counted(self, asset: Asset) -> Asset:
        return replace(asset, reference_count=len(self._holders.get(asset.asset_id, ())))

    async def refused(self, tenant_id: str, checksum: str, why: str) -> None:
        """Notes nothing: there is no record to tell."""

    async def abandon(self, asset_id: str, tenant_id: str) -> None:
        """Removes a PENDING row."""
        found = self._assets.get(asset_id)
        if found and found.status is Status.PENDING:
            del self._assets[asset_id]

    async def get(self, tenant_id: str, asset_id: str) -> Asset | None:
        """One asset that is READY or TOMBSTONED."""
        found = self._assets.get(asset_id)
        if found is None or found.tenant_id != tenant_id or found.status is Status.PENDING:
            return None
        return self._counted(found)

    async def by_checksum(self, tenant_id: str, checksum: str) -> Asset | None:
        """The READY asset with these bytes."""
        for found in self._assets.values():
            if (found.tenant_id, found.checksum, found.status) == (tenant_id, checksum, Status.READY):
                return self._counted(found)
        return None

    async def by_request(self, tenant_id: str, request_id: str) -> Asset | None:
        """The asset of an upload with this request id."""
        asset_id = self._requests.get((tenant_id, request_id))
        return await self.get(tenant_id, asset_id) if asset_id else None

    async def list(self, tenant_id: str, wanted: Listing) -> Sequence[Asset]:
        """Assets, newest first."""
        shown = {Status.READY, Status.TOMBSTONED} if wanted.include_tombstoned else {Status.READY}
        found = [
            self._counted(asset)
            for asset in self._assets.values()
            if asset.tenant_id == tenant_id
            and asset.status in shown
            and wanted.asset_type in ("", asset.asset_type)
            and (wanted.job_id in ("", asset.origin.job_id) or wanted.job_id in self._holders.get(asset.asset_id, ()))
            and (not wanted.before or asset.asset_id < wanted.before)
        ]
        return sorted(found, key=lambda asset: asset.asset_id, reverse=True)[: wanted.size]

    async def release(self, tenant_id: str, asset_id: str, holder: str, reason: str, now: datetime) -> Asset | None:
        """Gives up one holder or all."""
        if await self.get(tenant_id, asset_id) is None:
            return None
        holders = self._holders.setdefault(asset_id, set())
        holders.difference_update({holder} if holder else set(holders))
        asset = self._counted(self._assets[asset_id])
        if asset.reference_count or asset.status is Status.TOMBSTONED:
            return asset
        self._assets[asset_id] = replace(asset, status=Status.TOMBSTONED, deleted_at=now, metadata={})
        return self._assets[asset_id]

    async def stale(self, before: datetime) -> Sequence[Asset]:
        """What was left behind."""
        return [
            asset
            for asset in self._assets.values()
            if (asset.status is Status.PENDING and asset.created_at < before)
            or (asset.deleted_at is not None and asset.deleted_at < before and asset.asset_id not in self._erased)
        ]

    async def erased(self, asset_id: str, tenant_id: str) -> None:
        """Confirms that a tombstone's bytes are gone."""
        self._erased.add(asset_id)


class MemoryBytes:
    """Bytes by path."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}

    async def put(self, path: str, body: AsyncIterator[bytes]) -> None:
        """Writes them."""
        self._kept[path] = b"".join([piece async for piece in body])

    async def get(self, path: str, offset: int, length: int | None) -> AsyncIterator[bytes]:
        """Reads them in pieces."""
        if path not in self._kept:
            raise SomaError(Reason.DATA_LOSS, "the stored bytes are gone")
        end = None if length is None else offset + length
        body = self._kept[path][offset:end]
        for start in range(0, len(body), PIECE):
            yield body[start : start + PIECE]

    async def delete(self, path: str) -> None:
        """Removes them."""
        self._kept.pop(path, None)

    def paths(self) -> set[str]:
        """What is kept."""
        return set(self._kept)
