"""Assets: upload, download, read."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING

from soma_client.files import Incoming, Source
from soma_client.gen.google.api import HttpBody
from soma_client.gen.services.asset_service import AssetServiceMethods
from soma_client.gen.soma.assets import v1 as assets_v1
from soma_client.resuming import resumed
from soma_client.structs import to_struct

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncGenerator, AsyncIterable, Mapping

_SERVICE = "/soma.assets.v1.AssetService"


class Assets(AssetServiceMethods):
    """Bytes, stored once."""

    async def upload(
        self,
        source: str | os.PathLike[str] | bytes | AsyncIterable[bytes],
        *,
        filename: str = "",
        media_type: str = "",
        asset_type: str = "",
        classification: str = "",
        parent_id: str = "",
        replaces_id: str = "",
        metadata: Mapping[str, object] | None = None,
        request_id: str = "",
        timeout: float | None = None,
    ) -> assets_v1.Asset:
        """Stores a file, bytes, or what an iterator gives; answers with the asset that was there if they were.

        Files and bytes are sent again after a failure that allows it, as the same request; an iterator is sent once.

        Args:
            source: Path of a file, the bytes, or pieces of them.
            filename: Name of the file; absent: that of the path.
            media_type: Declared media type, which must agree with the bytes; absent: told from them.
            asset_type: Type; absent: told from the bytes.
            classification: "public", "internal", "sensitive" or "confidential"; absent: internal.
            parent_id: Asset it is derived from.
            replaces_id: Asset it replaces.
            metadata: Free metadata, at most 16 KiB as JSON.
            request_id: Makes the call idempotent; absent: made once for the call.
            timeout: Seconds for all attempts together; absent: the deadline of the contract, a minute.

        Raises CallError, and OSError for a file that cannot be read.
        """
        opened = await asyncio.to_thread(Source.of, source)
        first = assets_v1.UploadAssetRequest(
            filename=filename or opened.filename,
            asset_type=asset_type,
            classification=classification,
            parent_id=parent_id,
            replaces_id=replaces_id,
            metadata=None if metadata is None else to_struct(metadata),
            request_id=request_id or self._caller.new_id(),
            size_bytes=opened.size_bytes,
            content=HttpBody(content_type=media_type),
        )

        async def requests() -> AsyncGenerator[assets_v1.UploadAssetRequest, None]:
            yield first
            async with aclosing(opened.pieces()) as pieces:
                async for piece in pieces:
                    yield assets_v1.UploadAssetRequest(content=HttpBody(data=piece))

        path = f"{_SERVICE}/UploadAsset"
        return await self._caller.send(path, requests, assets_v1.Asset, timeout, repeatable=opened.is_repeatable)

    async def download(self, asset_id: str, target: str | os.PathLike[str]) -> assets_v1.Asset:
        """Writes the bytes to a file and gives the metadata.

        The file is there as a whole or not at all: the bytes are written beside it, compared with the asset's checksum,
        and then put in its place, instead of a file that is there. Raises CallError, DataLossError when the bytes are
        not those of the checksum, and OSError when the folder cannot be written to.
        """
        asset = await self.get(asset_id)
        async with Incoming.beside(Path(target), asset, self._caller.new_id()) as incoming:
            async with aclosing(self._pieces(asset)) as pieces:
                async for piece in pieces:
                    await incoming.write(piece)
            await incoming.finish(f"{_SERVICE}/DownloadAsset")
        return asset

    async def read(self, asset_id: str, *, offset: int = 0, limit: int = 0) -> bytes:
        """The bytes of a small asset, from `offset` on and at most `limit` of them; 0: to the end. Raises CallError."""
        async with aclosing(self.stream(asset_id, offset=offset, limit=limit)) as pieces:
            return b"".join([piece async for piece in pieces])

    async def stream(self, asset_id: str, *, offset: int = 0, limit: int = 0) -> AsyncGenerator[bytes, None]:
        """The bytes piece by piece, at most 256 KiB each, as `read` gives them. A stream that breaks is resumed."""
        asset = await self.get(asset_id)
        async with aclosing(self._pieces(asset, offset, limit)) as pieces:
            async for piece in pieces:
                yield piece

    async def _pieces(self, asset: assets_v1.Asset, offset: int = 0, limit: int = 0) -> AsyncGenerator[bytes, None]:
        place = min(offset, asset.size_bytes)
        end = min(asset.size_bytes, place + limit) if limit else asset.size_bytes
        if place == end:
            return

        def begin() -> AsyncGenerator[HttpBody, None]:
            if place >= end:
                return _nothing()
            request = assets_v1.DownloadAssetRequest(
                asset_id=asset.asset_id, read_offset=place, read_limit=end - place if limit else 0
            )
            return self._caller.stream(f"{_SERVICE}/DownloadAsset", request, HttpBody)

        def is_new(piece: HttpBody) -> bool:
            nonlocal place
            place += len(piece.data)
            return bool(piece.data)

        async def is_over(_: bool) -> bool:
            return place >= end

        # The last bytes are not the end: the mesh compares the checksum behind them.
        path = f"{_SERVICE}/DownloadAsset"
        stream = resumed(self._caller, path, begin, is_new=is_new, is_last=lambda _: False, is_over=is_over)
        async with aclosing(stream) as pieces:
            async for piece in pieces:
                yield piece.data


async def _nothing() -> AsyncGenerator[HttpBody, None]:
    """A stream that ends at once."""
    none: tuple[HttpBody, ...] = ()
    for piece in none:
        yield piece
