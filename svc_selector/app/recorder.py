"""Writes decisions off the path of the call, in batches."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from mesh.errors import SomaError, is_transient
from mesh.lifecycle import background
from mesh.logging import get_logger
from mesh.telemetry import counter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mesh.clock import Clock
    from svc_selector.app.ports import Decisions
    from svc_selector.domain.decision import Decision

BATCH = 200
LIMIT = 5_000
PAUSE_S = 0.25
RETRY_S = 0.5

_log = get_logger(__name__)


class Recorder:
    """A bounded queue before the store of decisions.

    When the queue is full the caller waits: a decision that cannot be explained later is not given out. One that can
    never be written is logged, counted and left out, so that it does not hold up those behind it.
    """

    def __init__(self, decisions: Decisions, clock: Clock) -> None:
        self._decisions = decisions
        self._clock = clock
        self._queue: asyncio.Queue[Decision] = asyncio.Queue(LIMIT)
        self._unwritten: list[Decision] = []
        self._arrived = asyncio.Event()
        self._flushing = asyncio.Lock()
        self._lost = counter("selector_unrecorded_total", "Decisions that could not be recorded.")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Recorder]:
        """Writes in the background; what is left is written at the end."""
        try:
            async with background(self._run, "selection-recorder", clock=self._clock):
                yield self
        finally:
            await self.flush()

    async def record(self, decision: Decision) -> None:
        """Takes a decision; one with a request id is written before the answer, so that a repeat finds it."""
        if decision.selection_request.key.request_id:
            await self._decisions.record_one(decision)
        else:
            await self._queue.put(decision)
            self._arrived.set()

    async def flush(self) -> None:
        """Writes what waits; what comes meanwhile is for the next time, so that batches do not shrink under load."""
        async with self._flushing:
            waiting = len(self._unwritten) + self._queue.qsize()
            while waiting:
                more = min(BATCH - len(self._unwritten), self._queue.qsize())
                self._unwritten += [self._queue.get_nowait() for _ in range(more)]
                waiting -= min(waiting, len(self._unwritten))
                await self._write()

    async def _write(self) -> None:
        """Writes the batch in hand, or what of it can be written one by one; raises what may pass, the rest kept."""
        try:
            await self._decisions.record(self._unwritten)
        except Exception as error:
            if is_transient(error):
                raise
            while self._unwritten:
                await self._write_alone(self._unwritten[0])
                del self._unwritten[0]
        else:
            self._unwritten = []

    async def _write_alone(self, decision: Decision) -> None:
        try:
            await self._decisions.record([decision])
        except Exception as error:
            if is_transient(error):
                raise
            _log.exception("a decision cannot be recorded", selection_id=decision.selection_id)
            self._lost.labels().inc()

    async def _run(self) -> None:
        while True:
            await self._arrived.wait()
            await self._clock.sleep(PAUSE_S)
            self._arrived.clear()
            try:
                await self.flush()
            except SomaError as error:
                self._arrived.set()
                waiting = len(self._unwritten) + self._queue.qsize()
                _log.warning("decisions wait for the database", waiting=waiting, reason=error.reason.value)
                await self._clock.sleep(RETRY_S)
