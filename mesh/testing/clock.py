"""A clock that is turned by hand."""

from __future__ import annotations

import asyncio
import heapq
from datetime import UTC, datetime, timedelta

START = datetime(2026, 1, 1, tzinfo=UTC)


class FakeClock:
    """Time stands still until `advance`; sleepers wake in the order of their times."""

    def __init__(self, start: datetime = START) -> None:
        self._start = start
        self._elapsed = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0
        self._slept = asyncio.Event()

    def now(self) -> datetime:
        """The start plus what was advanced."""
        return self._start + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        """Seconds advanced so far."""
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has been advanced by this much."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._sleepers, (self._elapsed + seconds, self._count, waiter))
        self._slept.set()
        await waiter

    async def advance(self, seconds: float) -> None:
        """Let time pass: each sleeper that is due wakes and runs before time passes on."""
        target = self._elapsed + seconds
        while self._sleepers and self._sleepers[0][0] <= target:
            due, _, waiter = heapq.heappop(self._sleepers)
            self._elapsed = max(self._elapsed, due)
            if not waiter.done():
                waiter.set_result(None)
                await _run_woken_tasks()
        self._elapsed = target

    async def sleeper(self) -> float:
        """Wait until somebody sleeps; gives the seconds until the first of them is due."""
        while not any(not waiter.done() for _, _, waiter in self._sleepers):
            self._slept.clear()
            await self._slept.wait()
        return min(due for due, _, waiter in self._sleepers if not waiter.done()) - self._elapsed


class SlowWorkClock(FakeClock):
    """A clock by which all work takes so many seconds: they pass between any two looks at it."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds
        self._looks = 0

    def monotonic(self) -> float:
        """Seconds advanced so far, and those of each look before."""
        self._looks += 1
        return super().monotonic() + self._looks * self._seconds


async def _run_woken_tasks() -> None:
    """Give the tasks that just woke some turns of the loop."""
    for _ in range(10):
        await asyncio.sleep(0)
