"""The file that holds the first API key of a development mesh."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_PRIVATE = 0o600


class KeyFile:
    """A file for its owner alone."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> str:
        """The key in it, empty when there is none."""
        return self._path.read_text(encoding="ascii").strip() if self._path.exists() else ""

    def write(self, secret: str) -> None:
        """Put a key there in one step."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_name(f".{self._path.name}.new")
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE), "w", encoding="ascii") as file:
            file.write(f"{secret}\n")
        fresh.replace(self._path)
