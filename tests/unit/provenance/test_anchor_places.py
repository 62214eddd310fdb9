"""Places that have an anchor, as a blob store lists them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mesh.settings import BlobSettings
from mesh.stores import blobs
from svc_provenance.adapters import audit_anchors
from svc_provenance.adapters.audit_anchors import BlobAnchorStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from mesh.stores.blobs import BlobInfo, Blobs

PLACES = [1, 5, 12, 40, 1_000, 12_345, 2**62]
OTHERS = (
    f"tenant-acme2/{7:019d}.json",
    f"platform/{8:019d}.json",
    f"tenant-acme/x/{9:019d}.json",
    "tenant-acme/13.json",
    f"tenant-acme/{14:019d}.txt",
    "tenant-acme/9999999999999999999.json",
)
"""What is no anchor of the chain."""


@pytest.fixture(params=["file", "memory"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Blobs]:
    url = f"file://{tmp_path}" if request.param == "file" else "memory:///"
    async with blobs.open(BlobSettings(url=url)) as opened:
        for place in reversed(PLACES):
            await opened.put(f"audit/tenant-acme/{place:019d}.json", b"")
        for other in OTHERS:
            await opened.put(f"audit/{other}", b"")
        yield opened


@pytest.mark.parametrize("page", [1, 2, 1_000])
@pytest.mark.parametrize("limit", [1, 3, 100])
@pytest.mark.parametrize("first", [0, 1, 2, 12, 13, 2**62, 2**62 + 1])
async def test_so_many_places_from_one_on_are_given_in_order(
    store: Blobs, first: int, limit: int, page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_anchors, "_PAGE", page)
    found = await BlobAnchorStore(store).sequences("acme", first, limit)
    assert found == [place for place in PLACES if place >= first][:limit]


async def test_a_chain_without_anchors_has_no_places(store: Blobs) -> None:
    assert await BlobAnchorStore(store).sequences("umbrella", 0, 10) == []


async def test_an_ordered_store_lists_no_more_than_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_anchors, "_PAGE", 2)
    async with blobs.open(BlobSettings(url="memory:///")) as store:
        for place in range(1, 101):
            await store.put(f"audit/tenant-acme/{place:019d}.json", b"")
        listed: list[str] = []
        pages = store.pages

        async def counted(after: str = "", size: int = 500, *, prefix: str = "") -> AsyncIterator[Sequence[BlobInfo]]:
            async for page in pages(after, size, prefix=prefix):
                listed.extend(blob.key for blob in page)
                yield page

        monkeypatch.setattr(store, "pages", counted)
        assert await BlobAnchorStore(store).sequences("acme", 50, 4) == [50, 51, 52, 53]
    assert len(listed) == 4
