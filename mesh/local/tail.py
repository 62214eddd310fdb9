"""Reads the end of a log file, and what is added to it."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class LogTail:
    """One log file, also across its rotation."""

    def __init__(self, file: Path) -> None:
        self.name = file.stem
        self._file = file
        self._offset = 0
        self._rest = b""

    def last(self, count: int) -> list[str]:
        """Give the last lines and remember the end."""
        return list(deque(self.more(), maxlen=count))

    def more(self) -> list[str]:
        """Give the complete lines added since the last call."""
        if self._file.stat().st_size < self._offset:
            self._offset, self._rest = 0, b""
        with self._file.open("rb") as log:
            log.seek(self._offset)
            data = log.read()
        self._offset += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [text.decode("utf-8", "replace") for text in lines]
