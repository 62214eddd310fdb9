"""Load: calls at a fixed rate whether or not the earlier ones have answered, or by a fixed number of callers."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


async def open_loop(call: Callable[[], Awaitable[object]], rate: float, seconds: float) -> list[float]:
    """Latencies of calls that start `rate` times a second; waiting for a late start counts as latency."""
    taken: list[float] = []

    async def one(due: float) -> None:
        await call()
        taken.append(time.perf_counter() - due)

    start = time.perf_counter() + 0.05
    async with asyncio.TaskGroup() as group:
        for number in range(int(rate * seconds)):
            due = start + number / rate
            wait = due - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            group.create_task(one(due))
    return taken


async def closed_loop(calls: list[Callable[[], Awaitable[object]]], seconds: float) -> tuple[float, list[float]]:
    """Calls a second, and latencies, of callers that each call again once they are answered."""
    taken: list[float] = []
    end = time.perf_counter() + seconds

    async def again(call: Callable[[], Awaitable[object]]) -> None:
        while time.perf_counter() < end:
            began = time.perf_counter()
            await call()
            taken.append(time.perf_counter() - began)

    await asyncio.gather(*map(again, calls))
    return len(taken) / seconds, taken
