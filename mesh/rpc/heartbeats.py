"""Heartbeats of response streams: what waits for news is never silent for long."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from mesh import tasks

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

T = TypeVar("T")


@dataclass(frozen=True)
class _Item(Generic[T]):
    """What came."""

    value: T


@dataclass(frozen=True)
class Heartbeats:
    """Breaks a silence after `every_s` seconds: less than the 15 s within which a client may expect a message."""

    every_s: float = 10.0

    async def add_to(
        self, items: AsyncGenerator[T, None], heartbeat: Callable[[], Awaitable[T]]
    ) -> AsyncGenerator[T, None]:
        """The items as they come, and what `heartbeat` gives whenever none came in time; closes `items` at the end.

        An item may be read ahead, so `heartbeat` must go by what was given out, not by what `items` has come to.
        """
        coming: asyncio.Queue[_Item[T] | None] = asyncio.Queue(1)
        reading = asyncio.create_task(_read(items, coming), name="read-with-heartbeats")
        reading.add_done_callback(lambda _: None if coming.full() else coming.put_nowait(None))
        try:
            while not (reading.done() and coming.empty()):
                try:
                    async with asyncio.timeout(self.every_s):
                        item = await coming.get()
                except TimeoutError:
                    yield await heartbeat()
                    continue
                if item is None:
                    break
                yield item.value
            await reading  # raises what ended it
        finally:
            await tasks.end(reading)


DEFAULT_HEARTBEATS = Heartbeats()


async def _read(items: AsyncGenerator[T, None], coming: asyncio.Queue[_Item[T] | None]) -> None:
    async with aclosing(items):
        async for item in items:
            await coming.put(_Item(item))
