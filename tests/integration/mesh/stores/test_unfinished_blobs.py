"""What a killed process left of a blob that it was storing."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from mesh.clock import SystemClock
from mesh.settings import BlobSettings
from mesh.stores import blobs
from mesh.testing.contract import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from mesh.stores.blobs import Blobs

NOW = datetime(2026, 7, 10, 12, tzinfo=UTC)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Blobs]:
    async with blobs.open(BlobSettings(url=tmp_path.as_uri())) as opened:
        yield opened


def written(folder: Path, name: str, at: datetime) -> Path:
    """A file that was last written at this moment."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"personal data")
    os.utime(path, (at.timestamp(), at.timestamp()))
    return path


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def removed(store: Blobs, before: datetime = NOW, size: int = 500) -> list[int]:
    return [number async for number in store.remove_unfinished(before, size)]


async def test_what_is_on_disk_while_a_blob_is_stored_has_a_name_that_is_found(store: Blobs, tmp_path: Path) -> None:
    """A kill in the middle of a put leaves this file."""

    async def body() -> AsyncIterator[bytes]:
        yield b"x" * 12_000_000
        await eventually(lambda: any("#" in file.name for file in files(tmp_path)))
        [file] = files(tmp_path)
        shutil.copy(file, file.with_name(file.name.replace("blob", "killed")))
        yield b"x"

    await store.put("acme/blob", body())
    assert await removed(store, SystemClock().now() + timedelta(hours=1)) == [1]
    assert [file.name for file in files(tmp_path)] == ["blob"]


async def test_only_what_is_old_is_removed(store: Blobs, tmp_path: Path) -> None:
    old = written(tmp_path, "acme/ab/one#1", NOW - timedelta(seconds=1))
    young = written(tmp_path, "acme/ab/one#2", NOW)
    assert await removed(store) == [1]
    assert (old.exists(), young.exists()) == (False, True)


@pytest.mark.parametrize("name", ["blob", "blob#", "blob#1a", "#1", "a b#1"])
async def test_a_file_of_another_name_stays(store: Blobs, tmp_path: Path, name: str) -> None:
    path = written(tmp_path, f"acme/{name}", NOW - timedelta(days=9))
    assert await removed(store) == [0]
    assert path.exists()


async def test_a_folder_of_such_a_name_and_what_a_link_leads_to_stay(store: Blobs, tmp_path: Path) -> None:
    elsewhere = written(tmp_path.parent, "elsewhere/one#1", NOW - timedelta(days=9))
    (tmp_path / "folder#1").mkdir()
    (tmp_path / "link").symlink_to(elsewhere.parent)
    assert sum(await removed(store)) == 0
    assert elsewhere.exists()


async def test_files_are_looked_at_some_at_a_time(store: Blobs, tmp_path: Path) -> None:
    for number in range(5):
        written(tmp_path, f"acme/{number}/one#1", NOW - timedelta(days=9))
    assert await removed(store, size=2) == [2, 2, 1]


async def test_one_that_cannot_be_removed_keeps_no_other(
    store: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck, other = (written(tmp_path, f"{name}#1", NOW - timedelta(days=9)) for name in ("stuck", "other"))
    unlink = type(stuck).unlink

    def refuse(path: Path) -> None:
        if path.name == stuck.name:
            raise PermissionError
        unlink(path)

    monkeypatch.setattr("mesh.stores.blobs.Path.unlink", refuse)
    assert await removed(store) == [1]
    assert (stuck.exists(), other.exists()) == (True, False)


async def test_a_store_without_files_has_none() -> None:
    async with blobs.open(BlobSettings(url="memory:///")) as store:
        assert await removed(store) == []
