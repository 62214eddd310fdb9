"""Bytes by key, in a folder or an object store: nothing else is known about them."""

from __future__ import annotations

import asyncio
import logging
import os
import re
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime  # noqa: TC003 - a field of a public class
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError
from obstore.store import LocalStore, from_url

from mesh.errors import Reason, SomaError, invalid, not_found

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from mesh.settings import BlobSettings

_CHUNK_BYTES = 256 * 1024
_KEY = re.compile(r"[A-Za-z0-9_=-][A-Za-z0-9._=-]*(/[A-Za-z0-9_=-][A-Za-z0-9._=-]*)*")
_KEY_CHARACTERS = 900
_UNFINISHED = re.compile(r"[A-Za-z0-9._=-]+#[0-9]+")
"""The name of a file that `LocalStore` writes a blob to before it gives it the blob's name; its listing hides them."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BlobInfo:
    """One entry of a listing. `modified` is when the store took the bytes, by its own clock."""

    key: str
    size: int
    modified: datetime


class Blobs:
    """A store of blobs. A key is made of segments of letters, digits and `._=-`, parted by `/`; tenants come first."""

    def __init__(self, store: obstore.store.ObjectStore) -> None:
        self._store = store

    async def put(self, key: str, content: AsyncIterator[bytes] | bytes) -> int:
        """Store the bytes and give their number; readers see all of them or none, also when `content` fails."""
        _check(key)
        size = 0

        async def counted(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
            nonlocal size
            async for chunk in chunks:
                size += len(chunk)
                yield chunk

        with _translate_errors(key):
            if isinstance(content, bytes):
                await obstore.put_async(self._store, key, content)
                return len(content)
            await obstore.put_async(self._store, key, counted(content))
        return size

    async def put_new(self, key: str, content: bytes) -> bool:
        """Store the bytes unless there is such a blob; gives whether it did. Of several at once, one does."""
        _check(key)
        try:
            with _translate_errors(key):
                await obstore.put_async(self._store, key, content, mode="create", use_multipart=False)
        except AlreadyExistsError:
            return False
        return True

    async def get(self, key: str, span: tuple[int, int] | None = None) -> AsyncIterator[bytes]:
        """The bytes in chunks, or those of `span` (first, end exclusive); NOT_FOUND when there is no such blob."""
        _check(key)
        with _translate_errors(key):
            result = await obstore.get_async(self._store, key, options={"range": span} if span is not None else None)
            async for chunk in result.stream(_CHUNK_BYTES):
                yield bytes(chunk)

    async def read(self, key: str) -> bytes:
        """All bytes of a small blob; NOT_FOUND when there is no such blob."""
        _check(key)
        with _translate_errors(key):
            result = await obstore.get_async(self._store, key)
            return bytes(await result.bytes_async())

    async def size(self, key: str) -> int | None:
        """Number of bytes, None when there is no such blob."""
        _check(key)
        try:
            with _translate_errors(key):
                return int((await obstore.head_async(self._store, key))["size"])
        except SomaError as error:
            if error.reason is Reason.NOT_FOUND:
                return None
            raise

    async def exists(self, key: str) -> bool:
        """Whether there is such a blob."""
        return await self.size(key) is not None

    async def delete(self, key: str) -> None:
        """Remove the blob; nothing happens when there is none."""
        _check(key)
        try:
            with _translate_errors(key):
                await obstore.delete_async(self._store, key)
        except SomaError as error:
            if error.reason is not Reason.NOT_FOUND:
                raise

    async def list(self, prefix: str) -> AsyncIterator[str]:
        """The keys below a prefix of whole segments."""
        _check(prefix)
        with _translate_errors(prefix):
            async for page in obstore.list(self._store, prefix):
                for entry in page:
                    yield entry["path"]

    @property
    def is_ordered(self) -> bool:
        """Whether `pages` gives keys in order, so that it can go on after one. Folders have no order."""
        return not isinstance(self._store, LocalStore)

    async def pages(self, after: str = "", size: int = 500, *, prefix: str = "") -> AsyncIterator[Sequence[BlobInfo]]:
        """All blobs below `prefix`, at most `size` at a time.

        Those after the key `after` where the store `is_ordered`, else all. The prefix is of whole segments.
        """
        offset = after if after and self.is_ordered else None
        with _translate_errors(after):
            async for page in obstore.list(self._store, prefix or None, offset=offset, chunk_size=size):
                yield [BlobInfo(entry["path"], entry["size"], entry["last_modified"]) for entry in page]

    async def remove_unfinished(self, before: datetime, size: int = 500) -> AsyncIterator[int]:
        """Remove what processes that were killed left of a `put`, unless it was written to since `before`.

        Gives how many were removed among each `size` files looked at. Folders alone have such files: parts of an upload
        in an object store are in no listing, and a lifecycle rule of the bucket removes them.
        """
        if not isinstance(self._store, LocalStore) or self._store.prefix is None:
            return
        files, seen = _files(Path(self._store.prefix)), size
        while seen == size:
            with _translate_errors(""):
                seen, removed = await asyncio.to_thread(_remove_unfinished, files, before.timestamp(), size)
            yield removed


@asynccontextmanager
async def open(settings: BlobSettings) -> AsyncIterator[Blobs]:  # noqa: A001 - read as blobs.open
    """The store that the settings name; a folder is made when it is missing."""
    if settings.url.startswith("file://"):
        yield Blobs(from_url(settings.url, mkdir=True, automatic_cleanup=True))
    else:
        yield Blobs(from_url(settings.url))


def _files(folder: str | Path) -> Iterator[os.DirEntry[str]]:
    """All files below a folder; what goes meanwhile and what may not be read is left out."""
    with suppress(FileNotFoundError, PermissionError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _files(entry.path)
            else:
                yield entry


def _remove_unfinished(files: Iterator[os.DirEntry[str]], before: float, size: int) -> tuple[int, int]:
    """How many of the next `size` files there were, and how many of them were removed."""
    entries = list(islice(files, size))
    return len(entries), sum(_is_removed(entry, before) for entry in entries if _UNFINISHED.fullmatch(entry.name))


def _is_removed(entry: os.DirEntry[str], before: float) -> bool:
    """Removes an unfinished file if it is that old. One that cannot be removed does not hold up the others."""
    try:
        if entry.stat(follow_symlinks=False).st_mtime >= before:
            return False
        Path(entry.path).unlink()
    except FileNotFoundError:
        return False
    except OSError:
        _log.exception("an unfinished blob could not be removed")
        return False
    return True


def _check(key: str) -> None:
    if len(key) > _KEY_CHARACTERS or not _KEY.fullmatch(key):
        raise invalid("key", "not a valid key of a blob")


@contextmanager
def _translate_errors(key: str) -> Iterator[None]:
    try:
        yield
    except (NotFoundError, FileNotFoundError):
        raise not_found("blob", key) from None
    except AlreadyExistsError:
        raise
    except (BaseError, OSError) as error:
        _log.exception("blob store failed")
        raise SomaError(
            Reason.DEPENDENCY_UNAVAILABLE,
            "The blob store does not answer; try again shortly",
            metadata={"component": "blobs"},
            retry_after_s=1.0,
        ) from error
