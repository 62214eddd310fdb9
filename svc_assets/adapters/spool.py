"""The bodies of uploads until they are stored: in memory while small, else in a file of the spool folder."""

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

MAX_MEMORY_BYTES = 1024 * 1024
CHUNK_BYTES = 1024 * 1024
_PREFIX = "soma-upload-"
_log = get_logger(__name__)


class FileSpool:
    """The body of one upload. Child processes open its file by path."""

    def __init__(self, folder: Path) -> None:
        self.size = 0
        self._folder = folder
        self._hash = hashlib.sha256()
        self._pieces: list[bytes] = []
        self._file: IO[bytes] | None = None

    @property
    def checksum(self) -> str:
        """SHA-256 of what was received so far, lower-case hex."""
        return self._hash.hexdigest()

    @property
    def content(self) -> bytes:
        """The body while it is in memory, else nothing."""
        self._pieces = [b"".join(self._pieces)]
        return self._pieces[0]

    @property
    def path(self) -> str:
        """The path of the file with the body, "" while it is in memory."""
        return self._file.name if self._file is not None else ""

    async def add(self, chunk: bytes) -> None:
        """Adds a chunk. Beyond `MAX_MEMORY_BYTES` a thread hashes and writes it: both release the GIL."""
        self.size += len(chunk)
        if self.size > MAX_MEMORY_BYTES:
            await asyncio.to_thread(self._write, chunk)
        else:
            self._hash.update(chunk)
            self._pieces.append(chunk)

    def _write(self, chunk: bytes) -> None:
        if self._file is None:
            self._file = tempfile.NamedTemporaryFile(prefix=_PREFIX, dir=self._folder)  # noqa: SIM115 - see close
            self._file.writelines(self._pieces)
            self._pieces = []
        self._hash.update(chunk)
        self._file.write(chunk)

    def flush(self) -> None:
        """Flushes the file, so that other processes read all of it."""
        if self._file is not None:
            self._file.flush()

    async def read(self) -> AsyncIterator[bytes]:
        """Returns the body in chunks of at most `CHUNK_BYTES`."""
        if self._file is None:
            yield self.content
            return
        self._file.seek(0)
        while chunk := await asyncio.to_thread(self._file.read, CHUNK_BYTES):
            yield chunk

    def close(self) -> None:
        """Deletes the file."""
        if self._file is not None:
            self._file.close()


class FileSpooler:
    """Receives bodies into a folder. Only the owner of the process can read the files there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @asynccontextmanager
    async def receive(self, body: AsyncIterator[bytes], limit: SizeLimit) -> AsyncIterator[FileSpool]:
        """Receives a body; stops reading as soon as it exceeds the limit."""
        spool = FileSpool(self._folder)
        try:
            async for chunk in body:
                await spool.add(chunk)
                limit.check(spool.size)
            spool.flush()
            yield spool
        finally:
            spool.close()

    def remove_leftovers(self, before: datetime) -> int:
        """Removes files of crashed processes: those last written before `before`. Returns how many."""
        old = [path for path in self._folder.glob(f"{_PREFIX}*") if path.lstat().st_mtime < before.timestamp()]
        for path in old:
            path.unlink(missing_ok=True)
        if old:
            _log.info("spool files of crashed processes were removed", files=len(old))
        return len(old)
