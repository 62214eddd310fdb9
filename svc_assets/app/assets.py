"""Reading, listing and erasing."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from mesh.errors import Reason, SomaError, invalid, not_found
from svc_assets.domain.model import Asset, Listing, Release, Status

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from mesh.clock import Clock
    from svc_assets.app.ports import Bytes, Rows

PIECE = 256 * 1024


class Assets:
    """The use cases beside ingest. Another tenant's asset does not exist."""

    def __init__(self, rows: Rows, blobs: Bytes, clock: Clock) -> None:
        self._rows = rows
        self._blobs = blobs
        self._clock = clock

    async def get(self, tenant_id: str, asset_id: str) -> Asset:
        """The metadata, a tombstone's too."""
        found = await self._rows.get(tenant_id, asset_id)
        if found is None:
            raise not_found("asset", asset_id)
        return found

    async def open(self, tenant_id: str, asset_id: str, offset: int, limit: int) -> tuple[Asset, AsyncIterator[bytes]]:
        """The metadata and the bytes from `offset`, at most `limit` of them (0: to the end)."""
        asset = await self.get(tenant_id, asset_id)
        if asset.status is not Status.READY:
            raise _erased(asset_id)
        if offset > asset.size_bytes:
            raise invalid("read_offset", f"must be at most the size of {asset.size_bytes} bytes")
        return asset, self._bytes(asset, offset, limit)

    async def _bytes(self, asset: Asset, offset: int, limit: int) -> AsyncIterator[bytes]:
        whole = offset == 0 and (limit == 0 or limit >= asset.size_bytes)
        digest = hashlib.sha256()
        pieces = self._inline if asset.is_inline else self._stored
        async for piece in pieces(asset, offset, limit):
            if whole:
                digest.update(piece)
            yield piece
        if whole and digest.hexdigest() != asset.checksum:
            raise SomaError(Reason.DATA_LOSS, "the stored bytes do not match their checksum")

    def _stored(self, asset: Asset, offset: int, limit: int) -> AsyncIterator[bytes]:
        return self._blobs.get(asset.storage_path, offset, limit or None)

    async def _inline(self, asset: Asset, offset: int, limit: int) -> AsyncIterator[bytes]:
        length = min(limit or asset.size_bytes, asset.size_bytes)
        content = await self._rows.content(asset.tenant_id, asset.asset_id, offset, length)
        if content is None:
            raise _erased(asset.asset_id)
        for start in range(0, len(content), PIECE):
            yield content[start : start + PIECE]

    async def list(self, tenant_id: str, wanted: Listing) -> Sequence[Asset]:
        """Assets, newest first; one more than the page when there is a next one."""
        return await self._rows.list(tenant_id, wanted)

    async def delete(self, tenant_id: str, asset_id: str, release: Release, reason: str) -> Asset:
        """Gives up a hold; the bytes go with the last one. Repeating changes nothing.

        PERMISSION_DENIED for the hold of a job that another subject took.
        """
        left = await self._rows.release(tenant_id, asset_id, release, reason, self._clock.now())
        return await self._delete_bytes(asset_id, left)

    async def erase(self, tenant_id: str, asset_id: str, reason: str) -> Asset:
        """Ends every hold and deletes the bytes. Repeating changes nothing."""
        return await self._delete_bytes(
            asset_id, await self._rows.erase(tenant_id, asset_id, reason, self._clock.now())
        )

    async def _delete_bytes(self, asset_id: str, left: Asset | None) -> Asset:
        if left is None:
            raise not_found("asset", asset_id)
        if left.status is Status.TOMBSTONED and not left.is_inline:
            await self._blobs.delete(left.storage_path)
            await self._rows.bytes_deleted(left)
        return left


def _erased(asset_id: str) -> SomaError:
    return SomaError(Reason.FAILED_PRECONDITION, f"asset {asset_id!r} was erased; its metadata is left")
