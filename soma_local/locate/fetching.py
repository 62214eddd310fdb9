"""Downloads a folder of the cache once, also with concurrent processes."""

from __future__ import annotations

import fcntl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def fetch_once(folder: Path, fetch: Callable[[Path], None]) -> None:
    """Calls `fetch` to create the folder unless it exists; raises OSError when the cache is not writable."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            fetch(folder)
