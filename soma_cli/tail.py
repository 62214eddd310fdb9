"""Reads the last lines of a log file and those that are appended to it."""

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_BLOCK_BYTES = 1 << 16


class LogReader:
    """Reads one log file, also across its rotation."""

    def __init__(self, file: Path) -> None:
        self.name = file.stem
        self._file = file
        self._offset = 0
        self._partial_line = b""

    def read_last(self, count: int) -> list[str]:
        """Returns the last lines and stores the offset of the end; reads only as much of the file as needed."""
        blocks: deque[bytes] = deque()
        newlines = 0
        with self._file.open("rb") as log:
            start = self._offset = log.seek(0, os.SEEK_END)
            while start > 0 and newlines <= count:  # the newline before the first of these lines is needed, too
                size = min(_BLOCK_BYTES, start)
                start -= size
                log.seek(start)
                blocks.appendleft(log.read(size))
                newlines += blocks[0].count(b"\n")
        lines = self._split_lines(b"".join(blocks))
        return lines[max(len(lines) - count, 0) :]

    def read_new(self) -> list[str]:
        """Returns the complete lines appended since the last call."""
        if self._file.stat().st_size < self._offset:
            self._offset, self._partial_line = 0, b""
        with self._file.open("rb") as log:
            log.seek(self._offset)
            data = log.read()
        self._offset += len(data)
        return self._split_lines(self._partial_line + data)

    def _split_lines(self, data: bytes) -> list[str]:
        """Returns the complete lines; stores a partial one for the next call."""
        *lines, self._partial_line = data.split(b"\n")
        return [text.decode("utf-8", "replace") for text in lines]
