"""How far an incremental read goes back behind the last one: clocks differ, and transactions commit late."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

LONG_LOOKBACK = timedelta(minutes=10)
"""How far one read per minute goes back."""
_LONG_EVERY = timedelta(minutes=1)


def lookback_at(now: datetime, last_long: datetime | None, default: timedelta) -> timedelta:
    """Returns the lookback of a read at `now`: LONG_LOOKBACK when the last such read, `last_long`, is a minute old."""
    return LONG_LOOKBACK if last_long is None or now - last_long >= _LONG_EVERY else default
