"""Waits until the machine has little to do, so that a call is timed and not what ran beside it."""

from __future__ import annotations

import asyncio

import psutil

WINDOW_S = 0.04
WINDOWS = 25
"""At most: a machine that never is quiet is measured as it is."""
BUSY = 0.3
"""Share of all processors; two meshes that have nothing to do take 0.2 to 0.3."""


async def quiet() -> None:
    """Returns once the processors were mostly idle for a moment."""
    before = psutil.cpu_times()
    for _ in range(WINDOWS):
        await asyncio.sleep(WINDOW_S)
        now = psutil.cpu_times()
        idle, spent = now.idle - before.idle, sum(now) - sum(before)
        if spent > 0 and idle / spent >= 1 - BUSY:
            return
        before = now
