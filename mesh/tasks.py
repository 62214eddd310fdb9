"""Ends tasks for certain."""

from __future__ import annotations

import asyncio

_AGAIN_S = 3.0


async def end(*tasks: asyncio.Task[None]) -> None:
    """Cancel the tasks and wait until they have ended, whatever they end with.

    A cancellation can be lost inside a task: `asyncio.wait_for` of Python 3.11, which libraries use, swallows one that
    arrives in the moment its work completes. So what still runs after a while is cancelled again.
    """
    while pending := [task for task in tasks if not task.done()]:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=_AGAIN_S)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # marks it as seen
