"""Blobs in a folder and in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mesh.errors import Reason, SomaError
from mesh.settings import BlobSettings
from mesh.stores import blobs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from mesh.stores.blobs import Blobs


@pytest.fixture(params=["file", "memory"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Blobs]:
    url = f"file://{tmp_path}/new/folder" if request.param == "file" else "memory:///"
    async with blobs.open(BlobSettings(url=url)) as opened:
        yield opened


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def all_of(store: Blobs, key: str, span: tuple[int, int] | None = None) -> bytes:
    return b"".join([chunk async for chunk in store.get(key, span)])


async def test_gives_back_what_was_put(store: Blobs) -> None:
    assert await store.put("a/x", chunks(b"one", b"", b"two")) == 6
    assert await all_of(store, "a/x") == b"onetwo"


@pytest.mark.parametrize("size", [0, 1, 300_000, 12_000_000])
async def test_any_size_comes_back(store: Blobs, size: int) -> None:
    content = bytes(range(256)) * (size // 256 + 1)
    parts = [content[:size][start : start + 1_000_000] for start in range(0, size, 1_000_000)]
    assert await store.put("a/big", chunks(*parts)) == size
    assert await all_of(store, "a/big") == content[:size]
    assert await store.size("a/big") == size


async def test_a_span_is_read_alone(store: Blobs) -> None:
    await store.put("a/x", b"0123456789")
    assert await all_of(store, "a/x", (3, 7)) == b"3456"


async def test_a_failed_put_leaves_nothing(store: Blobs) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * 6_000_000
        raise ValueError("cut")

    with pytest.raises(ValueError, match="cut"):
        await store.put("a/x", broken())
    assert not await store.exists("a/x")
    assert [key async for key in store.list("a")] == []


async def test_an_absent_blob_is_not_found(store: Blobs) -> None:
    with pytest.raises(SomaError) as caught:
        await all_of(store, "a/none")
    assert caught.value.reason is Reason.NOT_FOUND


async def test_deleting_is_repeatable(store: Blobs) -> None:
    await store.put("a/x", b"x")
    await store.delete("a/x")
    await store.delete("a/x")
    assert not await store.exists("a/x")


async def test_a_prefix_means_whole_segments(store: Blobs) -> None:
    for key in ("a/1", "a/b/2", "ab/3"):
        await store.put(key, b"")
    assert sorted([key async for key in store.list("a")]) == ["a/1", "a/b/2"]


async def test_pages_give_every_blob_once_in_bounded_parts(store: Blobs) -> None:
    keys = [f"{tenant}/{number:02}" for tenant in "ba" for number in range(5)]
    for key in keys:
        await store.put(key, b"xy")
    pages = [page async for page in store.pages(size=4)]
    assert sorted(entry.key for page in pages for entry in page) == sorted(keys)
    assert max(map(len, pages)) == 4
    assert {(entry.size, entry.modified.tzinfo is not None) for page in pages for entry in page} == {(2, True)}


async def test_pages_below_a_prefix_are_of_whole_segments(store: Blobs) -> None:
    for key in ("a/1", "a/b/2", "ab/3"):
        await store.put(key, b"")
    found = [entry.key async for page in store.pages(prefix="a") for entry in page]
    assert sorted(found) == ["a/1", "a/b/2"]


async def test_pages_of_an_ordered_store_go_on_after_a_key() -> None:
    async with blobs.open(BlobSettings(url="memory:///")) as store:
        for key in ("a/1", "a/2", "b/1"):
            await store.put(key, b"")
        assert store.is_ordered
        assert [[entry.key for entry in page] async for page in store.pages("a/1")] == [["a/2", "b/1"]]


@pytest.mark.parametrize(
    "key", ["", "/a", "a/", "a//b", "../a", "a/../b", "a/.b", "a b", "a\\b", "a\n", "a%2e", "x" * 901]
)
async def test_a_key_that_could_mean_another_place_is_refused(store: Blobs, key: str) -> None:
    with pytest.raises(SomaError) as caught:
        await store.put(key, b"")
    assert caught.value.reason is Reason.INVALID_ARGUMENT
