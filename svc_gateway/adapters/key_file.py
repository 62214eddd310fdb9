"""The file with the first API key."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_OWNER_ONLY = 0o600


class LocalKeyFile:
    """A file that only its owner may read."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> str:
        """Returns the key in the file; empty when there is none."""
        return self._path.read_text(encoding="ascii").strip() if self._path.exists() else ""

    def write(self, secret: str) -> None:
        """Writes a key to the file atomically."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        new = self._path.with_name(f".{self._path.name}.new")
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY), "w", encoding="ascii") as file:
            file.write(f"{secret}\n")
        new.replace(self._path)
