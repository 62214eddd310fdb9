"""Files on both ends of a transfer, read and written without blocking the event loop."""

from __future__ import annotations

import asyncio
import hashlib
import os
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from soma_client.errors import DataLossError, Details

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator

    from soma_client.gen.soma.assets import v1 as assets_v1

CHUNK_BYTES = 256 * 1024
"""Most bytes of one message."""


@dataclass(frozen=True)
class Source:
    """What is uploaded."""

    content: Path | bytes | AsyncIterable[bytes]
    filename: str = ""
    size_bytes: int = 0
    """0: unknown."""

    @classmethod
    def of(cls, given: str | os.PathLike[str] | bytes | AsyncIterable[bytes]) -> Source:
        """Reads the size of a file; OSError when there is none, TypeError for what is no source."""
        if isinstance(given, bytes | bytearray | memoryview):
            return cls(bytes(given), size_bytes=len(given))
        if isinstance(given, str | os.PathLike):
            path = Path(given)
            with path.open("rb") as file:
                return cls(path, path.name, os.fstat(file.fileno()).st_size)
        if hasattr(given, "__aiter__"):
            return cls(given)
        raise TypeError(
            f"a {type(given).__name__} cannot be uploaded: give a path, bytes or an async iterator of bytes"
        )

    @property
    def is_repeatable(self) -> bool:
        """Whether the bytes can be read again from the beginning."""
        return isinstance(self.content, Path | bytes)

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The bytes in pieces of at most CHUNK_BYTES."""
        if isinstance(self.content, bytes):
            for piece in _cut(self.content):
                yield piece
        elif isinstance(self.content, Path):
            file = await asyncio.to_thread(self.content.open, "rb")
            try:
                while piece := await asyncio.to_thread(file.read, CHUNK_BYTES):
                    yield piece
            finally:
                await asyncio.to_thread(file.close)
        else:
            async for part in self.content:
                for piece in _cut(part):
                    yield piece


def _cut(content: bytes) -> list[bytes]:
    return [content[start : start + CHUNK_BYTES] for start in range(0, len(content), CHUNK_BYTES)]


class Incoming:
    """A file that is being written beside its place."""

    def __init__(self, asset: assets_v1.Asset, target: Path, part: Path, file: BinaryIO) -> None:
        self._asset = asset
        self._target = target
        self._part = part
        self._file = file
        self._digest = hashlib.sha256()

    @classmethod
    @asynccontextmanager
    async def beside(cls, target: Path, asset: assets_v1.Asset, name: str) -> AsyncIterator[Incoming]:
        """Opens a file of that name in the folder of `target`; it is removed unless `finish` put it in its place."""
        part = target.with_name(f".{name}.part")
        file: BinaryIO = await asyncio.to_thread(part.open, "xb")
        try:
            yield cls(asset, target, part, file)
        finally:
            file.close()
            part.unlink(missing_ok=True)

    async def write(self, piece: bytes) -> None:
        """Appends bytes."""
        await asyncio.to_thread(self._write, piece)

    async def finish(self, method: str) -> None:
        """Puts the file in its place; DataLossError of `method` when its bytes are not those of the asset."""
        found = self._digest.hexdigest()
        if found != self._asset.checksum_sha256:
            text = f"The bytes of asset {self._asset.asset_id} have SHA-256 {found}, not {self._asset.checksum_sha256}"
            raise DataLossError(method, Details(text))
        await asyncio.to_thread(self._replace)

    def _write(self, piece: bytes) -> None:
        self._digest.update(piece)
        self._file.write(piece)

    def _replace(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._part.replace(self._target)
