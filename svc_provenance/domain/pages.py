"""Cursors of pages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime  # noqa: TC003 - a field of a public dataclass


@dataclass(frozen=True)
class PageCursor:
    """Where a page ended: records are ordered by a time and their id, newest first."""

    at: datetime
    id_: str
