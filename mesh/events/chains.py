"""Runs work of different keys side by side and work of one key in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Self

Work = Callable[[], Awaitable[None]]


class Chains:
    """A chain of work for each key; `room` pieces in hand at most."""

    def __init__(self, room: int) -> None:
        self._room = asyncio.Semaphore(room)
        self._chains: dict[str, deque[Work]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        """Begin."""
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Wait for all work; cancel it when ended by an error, or when cancelled meanwhile."""
        try:
            if kind is None and self._tasks:
                await asyncio.wait(self._tasks)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def put(self, key: str, work: Work) -> None:
        """Append work to the key's chain; waits while too much is in hand."""
        await self._room.acquire()
        chain = self._chains.get(key)
        if chain is not None:
            chain.append(work)
            return
        self._chains[key] = deque([work])
        task = asyncio.create_task(self._follow(key), name=f"chain {key}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _follow(self, key: str) -> None:
        chain = self._chains[key]
        try:
            while chain:
                await chain[0]()
                chain.popleft()
                self._room.release()
        finally:
            del self._chains[key]
            for _ in chain:
                self._room.release()
