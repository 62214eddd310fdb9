"""Reads the end of a log file, and what is added to it."""

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_BLOCK_BYTES = 1 << 16


class LogTail:
    """One log file, also across its rotation."""

    def __init__(self, file: Path) -> None:
        self.name = file.stem
        self._file = file
        self._offset = 0
        self._rest = b""

    def last(self, count: int) -> list[str]:
        """Give the last lines and remember the end; reads no more of the file than these need."""
        blocks: deque[bytes] = deque()
        newlines = 0
        with self._file.open("rb") as log:
            start = self._offset = log.seek(0, os.SEEK_END)
            while start > 0 and newlines <= count:  # the newline before the first wanted line is needed, too
                size = min(_BLOCK_BYTES, start)
                start -= size
                log.seek(start)
                blocks.appendleft(log.read(size))
                newlines += blocks[0].count(b"\n")
        lines = self._complete(b"".join(blocks))
        return lines[max(len(lines) - count, 0) :]

    def more(self) -> list[str]:
        """Give the complete lines added since the last call."""
        if self._file.stat().st_size < self._offset:
            self._offset, self._rest = 0, b""
        with self._file.open("rb") as log:
            log.seek(self._offset)
            data = log.read()
        self._offset += len(data)
        return self._complete(self._rest + data)

    def _complete(self, data: bytes) -> list[str]:
        """Give the lines that end; keep the rest for the next call."""
        *lines, self._rest = data.split(b"\n")
        return [text.decode("utf-8", "replace") for text in lines]
