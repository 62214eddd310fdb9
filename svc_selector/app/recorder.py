"""Writes decisions off the path of the call, in batches."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from mesh.errors import SomaError
from mesh.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mesh.clock import Clock
    from svc_selector.domain.model import Decision
    from svc_selector.domain.ports import Decisions

BATCH = 200
LIMIT = 5_000
PAUSE_S = 0.1
RETRY_S = 0.5

_log = get_logger(__name__)


class Recorder:
    """A bounded queue before the store of decisions.

    When the queue is full the caller waits: a decision that cannot be explained later is not given out.
    """

    def __init__(self, decisions: Decisions, clock: Clock) -> None:
        self._decisions = decisions
        self._clock = clock
        self._queue: asyncio.Queue[Decision] = asyncio.Queue(LIMIT)
        self._flushing = asyncio.Lock()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Recorder]:
        """Writes in the background; what is left is written at the end."""
        task = asyncio.create_task(self._run(), name="selection-recorder")
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self.flush()

    async def record(self, decision: Decision) -> None:
        """Takes a decision; one with a request id is written before the answer, so that a repeat finds it."""
        if decision.ask.request_id:
            await self._decisions.record([decision])
        else:
            await self._queue.put(decision)

    async def flush(self) -> None:
        """Writes what waits."""
        async with self._flushing:
            while not self._queue.empty():
                batch = [self._queue.get_nowait() for _ in range(min(BATCH, self._queue.qsize()))]
                try:
                    await self._decisions.record(batch)
                except BaseException:
                    for decision in batch:
                        self._queue.put_nowait(decision)
                    raise

    async def _run(self) -> None:
        while True:
            self._queue.put_nowait(await self._queue.get())
            await self._clock.sleep(PAUSE_S)
            try:
                await self.flush()
            except SomaError as error:
                _log.warning("decisions wait for the database", waiting=self._queue.qsize(), reason=error.reason.value)
                await self._clock.sleep(RETRY_S)
