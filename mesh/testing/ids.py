"""Ids of moments that tests choose."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from datetime import datetime

_VERSION, _VARIANT = 7 << 76, 2 << 62


def id_of(moment: datetime, number: int = 0) -> str:
    """The UUIDv7 with this number (below 2**62) among those of a moment, to the millisecond."""
    return str(UUID(int=int(moment.timestamp() * 1000) << 80 | _VERSION | _VARIANT | number))
