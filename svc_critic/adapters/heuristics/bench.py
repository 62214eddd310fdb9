"""Where measuring happens: a few threads beside the event loop."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

P = ParamSpec("P")
R = TypeVar("R")


class Bench:
    """Runs measurements, at most `workers` at a time; the rest wait their turn."""

    def __init__(self, workers: int) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="critic")

    @classmethod
    @asynccontextmanager
    async def open(cls, workers: int) -> AsyncIterator[Bench]:
        """A bench; at the end what runs is finished, and what waits is dropped."""
        bench = cls(workers)
        try:
            yield bench
        finally:
            await asyncio.to_thread(bench._pool.shutdown, wait=True, cancel_futures=True)

    async def run(self, measure: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """What `measure` gives; it must not touch the event loop."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, lambda: measure(*args, **kwargs))
