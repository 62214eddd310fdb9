"""Time as something that is passed in: the only module that reads the machine's clock."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_S = 86_400


class Clock(Protocol):
    """Source of wall time, of elapsed time and of waiting."""

    def now(self) -> datetime:
        """The current time, aware, in UTC."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes back."""

    async def sleep(self, seconds: float) -> None:
        """Wait for a number of seconds; zero or less only yields to the loop."""


def since_epoch(moment: datetime) -> tuple[int, int]:
    """Whole seconds and nanoseconds from 1970 to an aware moment, as protobuf's Timestamp counts them."""
    since = moment - EPOCH
    return since.days * _DAY_S + since.seconds, since.microseconds * 1000


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The current time, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds of the machine's monotonic clock."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait on the running event loop."""
        await asyncio.sleep(max(seconds, 0.0))
