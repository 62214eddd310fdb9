"""Pages of what the record keeps."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime  # noqa: TC003 - part of the record's vocabulary


@dataclass(frozen=True)
class PageCursor:
    """Where a page ended: entries are ordered by a moment and their id, newest first."""

    at: datetime
    id_: str
