"""The bytes of assets in the blob store of the mesh."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.errors import Reason, SomaError
from svc_assets.domain.model import StoredBlob

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from datetime import datetime

    from mesh.stores.blobs import Blobs

_MAX_OFFSET = 2**62
_PROBE_PATH = "_health/written"
"""A path that no asset can have."""
_STORE_ID_PATH = "_assets/store_id"
_PROBE_BYTES = 4096
"""Enough that a write to a full disk fails."""


class AssetBlobStore:
    """`BlobStore` on the blob store of the mesh."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    async def check_writable(self) -> str:
        """Writes a probe blob; returns "" when that succeeds, else why bytes cannot be stored now."""
        try:
            await self._blobs.put(_PROBE_PATH, bytes(_PROBE_BYTES))
        except SomaError:
            return "cannot be written"
        return ""

    async def put(self, path: str, body: AsyncIterator[bytes]) -> None:
        """Writes a blob atomically."""
        await self._blobs.put(path, body)

    async def get(self, path: str, offset: int, length: int | None) -> AsyncIterator[bytes]:
        """Returns a blob, or a part of it, in chunks; DATA_LOSS when it does not exist."""
        size = await self._blobs.size(path)
        if size is None:
            raise SomaError(Reason.DATA_LOSS, "the stored bytes are gone")
        end = min(size, _MAX_OFFSET if length is None else offset + length)
        if offset >= end:
            return
        async for chunk in self._blobs.get(path, (offset, end)):
            yield chunk

    async def delete(self, path: str) -> None:
        """Deletes a blob."""
        await self._blobs.delete(path)

    async def claim_store(self, store_id: str) -> bool:
        """Marks the store with an id unless it has one; returns whether it has this one now."""
        if await self._blobs.put_new(_STORE_ID_PATH, store_id.encode()):
            return True
        return await self._blobs.read(_STORE_ID_PATH) == store_id.encode()

    async def pages(self, after: str, size: int) -> AsyncIterator[Sequence[StoredBlob]]:
        """Returns all blobs, in pages; only those after `after` where the store lists in order."""
        async for page in self._blobs.pages(after, size):
            yield [StoredBlob(entry.key, entry.modified) for entry in page]

    async def remove_unfinished(self, before: datetime, size: int) -> AsyncIterator[int]:
        """Removes the partial files of interrupted puts; returns how many, once for each `size` files examined."""
        async for removed in self._blobs.remove_unfinished(before, size):
            yield removed
