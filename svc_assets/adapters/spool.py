"""Uploads on their way: in memory while small, in a file of the spool folder when larger."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from contextlib import asynccontextmanager
from typing import IO, TYPE_CHECKING

from mesh.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime
    from pathlib import Path

    from svc_assets.domain.limits import SizeLimit

IN_MEMORY = 1024 * 1024
PIECE = 1024 * 1024
_PREFIX = "soma-upload-"
_log = get_logger(__name__)


class FileSpool:
    """One upload. Child processes read its file by name."""

    def __init__(self, folder: Path) -> None:
        self.size = 0
        self._folder = folder
        self._hash = hashlib.sha256()
        self._pieces: list[bytes] = []
        self._file: IO[bytes] | None = None

    @property
    def checksum(self) -> str:
        """SHA-256 of what came so far, lower-case hex."""
        return self._hash.hexdigest()

    @property
    def content(self) -> bytes:
        """All of it while it is in memory, else nothing."""
        self._pieces = [b"".join(self._pieces)]
        return self._pieces[0]

    @property
    def path(self) -> str:
        """The file that has it, "" while it is in memory."""
        return self._file.name if self._file is not None else ""

    async def add(self, piece: bytes) -> None:
        """Takes in one piece; hashing and writing release the interpreter, so large ones go to a thread."""
        self.size += len(piece)
        if self.size > IN_MEMORY:
            await asyncio.to_thread(self._write, piece)
        else:
            self._hash.update(piece)
            self._pieces.append(piece)

    def _write(self, piece: bytes) -> None:
        if self._file is None:
            self._file = tempfile.NamedTemporaryFile(prefix=_PREFIX, dir=self._folder)  # noqa: SIM115 - see close
            self._file.writelines(self._pieces)
            self._pieces = []
        self._hash.update(piece)
        self._file.write(piece)

    def flush(self) -> None:
        """Lets whoever opens the file see all of it."""
        if self._file is not None:
            self._file.flush()

    async def read(self) -> AsyncIterator[bytes]:
        """All of it, in pieces of at most 1 MiB."""
        if self._file is None:
            yield self.content
            return
        self._file.seek(0)
        while piece := await asyncio.to_thread(self._file.read, PIECE):
            yield piece

    def close(self) -> None:
        """Removes the file."""
        if self._file is not None:
            self._file.close()


class FileSpooler:
    """Spools below a folder, so that nothing lands in a shared temporary one. Its files are readable by their owner."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @asynccontextmanager
    async def take(self, body: AsyncIterator[bytes], limit: SizeLimit) -> AsyncIterator[FileSpool]:
        """Takes in a body; stops reading as soon as it passes the limit."""
        spool = FileSpool(self._folder)
        try:
            async for piece in body:
                await spool.add(piece)
                limit.check(spool.size)
            spool.flush()
            yield spool
        finally:
            spool.close()

    def remove_leftovers(self, before: datetime) -> int:
        """Removes the files that a crash left, and that no upload may still be writing; answers how many."""
        old = [path for path in self._folder.glob(f"{_PREFIX}*") if path.lstat().st_mtime < before.timestamp()]
        for path in old:
            path.unlink(missing_ok=True)
        if old:
            _log.info("uploads that a crash left were removed", files=len(old))
        return len(old)
