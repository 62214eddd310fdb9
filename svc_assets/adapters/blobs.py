"""Bytes in the mesh's blob store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.errors import Reason, SomaError
from svc_assets.domain.model import StoredBlob

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from datetime import datetime

    from mesh.stores.blobs import Blobs

END = 2**62
_PROBE = "_health/written"
"""A key that no tenant's asset can have."""
_STORE_ID = "_assets/store_id"
_PROBE_BYTES = 4096
"""So many that a full disk refuses them."""


class StoredBytes:
    """The bytes of assets by path."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    async def lost(self) -> str:
        """Why bytes cannot be stored now, "" when they can: some are."""
        try:
            await self._blobs.put(_PROBE, bytes(_PROBE_BYTES))
        except SomaError:
            return "cannot be written"
        return ""

    async def put(self, path: str, body: AsyncIterator[bytes]) -> None:
        """Writes them, whole or not at all."""
        await self._blobs.put(path, body)

    async def get(self, path: str, offset: int, length: int | None) -> AsyncIterator[bytes]:
        """Reads them in pieces; DATA_LOSS when they are not there."""
        size = await self._blobs.size(path)
        if size is None:
            raise SomaError(Reason.DATA_LOSS, "the stored bytes are gone")
        end = min(size, END if length is None else offset + length)
        if offset >= end:
            return
        async for piece in self._blobs.get(path, (offset, end)):
            yield piece

    async def delete(self, path: str) -> None:
        """Removes them."""
        await self._blobs.delete(path)

    async def claim_store(self, store_id: str) -> bool:
        """Writes an id into the store unless it has one; whether it has this one now."""
        if await self._blobs.put_new(_STORE_ID, store_id.encode()):
            return True
        return await self._blobs.read(_STORE_ID) == store_id.encode()

    async def pages(self, after: str, size: int) -> AsyncIterator[Sequence[StoredBlob]]:
        """All blobs, in pages; those after a path where the store has an order."""
        async for page in self._blobs.pages(after, size):
            yield [StoredBlob(entry.key, entry.modified) for entry in page]

    async def remove_unfinished(self, before: datetime, size: int) -> AsyncIterator[int]:
        """Removes what puts left that were killed; gives how many, for each `size` files looked at."""
        async for removed in self._blobs.remove_unfinished(before, size):
            yield removed
