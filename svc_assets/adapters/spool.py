"""Uploads on their way: in memory while small, in a file of the spool folder when larger."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from contextlib import asynccontextmanager
from typing import IO, TYPE_CHECKING

from svc_assets.domain.rules import too_large

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

IN_MEMORY = 1024 * 1024
PIECE = 1024 * 1024


class FileSpool:
    """One upload; `file` holds it, `path` names the file once there is one on disk."""

    def __init__(self, file: tempfile.SpooledTemporaryFile[bytes]) -> None:
        self.file = file
        self.size = 0
        self._hash = hashlib.sha256()

    @property
    def checksum(self) -> str:
        """SHA-256 of what came so far, lower-case hex."""
        return self._hash.hexdigest()

    async def add(self, piece: bytes) -> None:
        """Takes in one piece; hashing and writing release the interpreter, so large ones go to a thread."""
        self.size += len(piece)
        if len(piece) + self.file.tell() > IN_MEMORY:
            await asyncio.to_thread(self._add, piece)
        else:
            self._add(piece)

    def _add(self, piece: bytes) -> None:
        self._hash.update(piece)
        self.file.write(piece)

    async def head(self, size: int) -> bytes:
        """The first bytes."""
        self.file.seek(0)
        return self.file.read(size)

    async def read(self) -> AsyncIterator[bytes]:
        """All of it, in pieces of 1 MiB."""
        self.file.seek(0)
        while piece := await asyncio.to_thread(self.file.read, PIECE):
            yield piece

    def handle(self) -> IO[bytes]:
        """The file, at its start, for libraries that read files."""
        self.file.seek(0)
        return self.file


class FileSpooler:
    """Spools below a folder, so that nothing lands in a shared temporary one. Files have no name there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @asynccontextmanager
    async def take(self, body: AsyncIterator[bytes], max_bytes: int) -> AsyncIterator[FileSpool]:
        """Takes in a body; stops reading as soon as it passes the limit."""
        with tempfile.SpooledTemporaryFile(IN_MEMORY, dir=str(self._folder)) as file:
            spool = FileSpool(file)
            async for piece in body:
                await spool.add(piece)
                if spool.size > max_bytes:
                    raise too_large(max_bytes)
            yield spool
