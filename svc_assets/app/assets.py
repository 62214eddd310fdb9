"""Reading, listing and erasing."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from mesh.errors import Reason, SomaError, invalid, not_found
from svc_assets.domain.model import Asset, ListQuery, ReleaseRequest, Status

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from mesh.clock import Clock
    from svc_assets.app.ports import AssetStore, BlobStore

CHUNK_BYTES = 256 * 1024


class Assets:
    """Reads, lists, deletes and erases assets. NOT_FOUND for an asset of another tenant."""

    def __init__(self, store: AssetStore, blobs: BlobStore, clock: Clock) -> None:
        self._store = store
        self._blobs = blobs
        self._clock = clock

    async def get(self, tenant_id: str, asset_id: str) -> Asset:
        """Returns the metadata, those of a tombstone too."""
        asset = await self._store.get(tenant_id, asset_id)
        if asset is None:
            raise not_found("asset", asset_id)
        return asset

    async def open(self, tenant_id: str, asset_id: str, offset: int, limit: int) -> tuple[Asset, AsyncIterator[bytes]]:
        """Returns the metadata, and the bytes from `offset`: at most `limit`, or all when `limit` is 0."""
        asset = await self.get(tenant_id, asset_id)
        if asset.status is not Status.READY:
            raise _erased_error(asset_id)
        if offset > asset.size_bytes:
            raise invalid("read_offset", f"must be at most the size of {asset.size_bytes} bytes")
        return asset, self._read(asset, offset, limit)

    async def _read(self, asset: Asset, offset: int, limit: int) -> AsyncIterator[bytes]:
        is_complete = offset == 0 and (limit == 0 or limit >= asset.size_bytes)
        digest = hashlib.sha256()
        read = self._read_inline if asset.is_inline else self._read_blob
        async for chunk in read(asset, offset, limit):
            if is_complete:
                digest.update(chunk)
            yield chunk
        if is_complete and digest.hexdigest() != asset.checksum:
            raise SomaError(Reason.DATA_LOSS, "the stored bytes do not match their checksum")

    def _read_blob(self, asset: Asset, offset: int, limit: int) -> AsyncIterator[bytes]:
        return self._blobs.get(asset.storage_path, offset, limit or None)

    async def _read_inline(self, asset: Asset, offset: int, limit: int) -> AsyncIterator[bytes]:
        length = min(limit or asset.size_bytes, asset.size_bytes)
        content = await self._store.get_content(asset.tenant_id, asset.asset_id, offset, length)
        if content is None:
            raise _erased_error(asset.asset_id)
        for start in range(0, len(content), CHUNK_BYTES):
            yield content[start : start + CHUNK_BYTES]

    async def list(self, tenant_id: str, query: ListQuery) -> Sequence[Asset]:
        """Returns assets, newest first."""
        return await self._store.list(tenant_id, query)

    async def delete(self, tenant_id: str, asset_id: str, release: ReleaseRequest, reason: str) -> Asset:
        """Releases a hold; the bytes are deleted with the last one. Idempotent.

        PERMISSION_DENIED for the hold of a job that another subject added.
        """
        asset = await self._store.release(tenant_id, asset_id, release, reason, self._clock.now())
        return await self._delete_bytes(asset_id, asset)

    async def erase(self, tenant_id: str, asset_id: str, reason: str) -> Asset:
        """Releases every hold and deletes the bytes. Idempotent."""
        return await self._delete_bytes(
            asset_id, await self._store.erase(tenant_id, asset_id, reason, self._clock.now())
        )

    async def _delete_bytes(self, asset_id: str, asset: Asset | None) -> Asset:
        if asset is None:
            raise not_found("asset", asset_id)
        if asset.status is Status.TOMBSTONED and not asset.is_inline:
            await self._blobs.delete(asset.storage_path)
            await self._store.confirm_deletion(asset)
        return asset


def _erased_error(asset_id: str) -> SomaError:
    return SomaError(Reason.FAILED_PRECONDITION, f"asset {asset_id!r} was erased; its metadata is left")
