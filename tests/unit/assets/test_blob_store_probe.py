"""The asset store notices when bytes cannot be stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.settings import BlobSettings
from mesh.stores import blobs
from svc_assets.adapters.blobs import AssetBlobStore

if TYPE_CHECKING:
    from pathlib import Path


async def test_a_store_that_takes_bytes_is_well_however_often_it_is_asked(tmp_path: Path) -> None:
    async with blobs.open(BlobSettings(url=tmp_path.as_uri())) as store:
        stored = AssetBlobStore(store)
        assert [await stored.check_writable() for _ in range(3)] == ["", "", ""]
        assert len([key async for key in store.list("_health")]) == 1


async def test_a_store_that_takes_none_is_not_writable(tmp_path: Path) -> None:
    folder = tmp_path / "blobs"
    async with blobs.open(BlobSettings(url=folder.as_uri())) as store:
        folder.rmdir()
        folder.write_text("no folder any more")
        assert await AssetBlobStore(store).check_writable() == "cannot be written"
