"""What an adapter does by itself for as long as it is in use."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from mesh.background import detached_context
from mesh.lifecycle import background

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mesh.clock import Clock


class AdapterBackgroundTask:
    """Background work that starts with the first use of an adapter."""

    def __init__(self, work: Callable[[], Awaitable[None]], name: str, clock: Clock) -> None:
        self._work = work
        self._name = name
        self._clock = clock
        self._stack = AsyncExitStack()
        self._started = False

    async def start(self) -> None:
        """Start it, unless it is running."""
        if self._started:
            return
        self._started = True
        # In a context of its own: it must not run for ever in the name of the first caller.
        begin = self._stack.enter_async_context(background(self._work, self._name, clock=self._clock))
        await asyncio.create_task(begin, context=detached_context())

    async def aclose(self) -> None:
        """End it."""
        await self._stack.aclose()
        self._started = False
