"""A note."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True)
class Note:
    """A short text of a tenant; `announced` once its event came back."""

    note_id: str
    tenant_id: str
    text: str
    created_at: datetime
    announced: bool = False
