"""Writes decisions in batches, in the background."""

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
    from svc_selector.app.ports import DecisionStore
    from svc_selector.domain.decision import Decision

BATCH_SIZE = 200
MAX_QUEUED = 5_000
BATCH_DELAY_S = 0.25
"""Time from the first queued decision until the batch is written, in seconds."""
RETRY_DELAY_S = 0.5

_log = get_logger(__name__)


class Recorder:
    """A bounded queue of decisions that are written to the store.

    While the queue is full callers wait: a decision is not returned unless it can be explained later. A decision whose
    write fails permanently is logged, counted and dropped, so that it does not block the queue.
    """

    def __init__(self, decisions: DecisionStore, clock: Clock) -> None:
        self._decisions = decisions
        self._clock = clock
        self._queue: asyncio.Queue[Decision] = asyncio.Queue(MAX_QUEUED)
        self._batch: list[Decision] = []
        self._has_queued = asyncio.Event()
        self._flush_lock = asyncio.Lock()
        self._dropped = counter("selector_unrecorded_total", "Decisions that could not be recorded.")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Recorder]:
        """Writes in the background; on exit writes the rest."""
        try:
            async with background(self._run, "selection-recorder", clock=self._clock):
                yield self
        finally:
            await self.flush()

    async def record(self, decision: Decision) -> None:
        """Queues a decision; writes one with a request id at once, so that a repeat of the request finds it."""
        if decision.selection_request.key.request_id:
            await self._decisions.record_one(decision)
        else:
            await self._queue.put(decision)
            self._has_queued.set()

    async def flush(self) -> None:
        """Writes what is queued now; later decisions wait for the next flush, so that batches stay large under load."""
        async with self._flush_lock:
            pending = len(self._batch) + self._queue.qsize()
            while pending:
                count = min(BATCH_SIZE - len(self._batch), self._queue.qsize())
                self._batch += [self._queue.get_nowait() for _ in range(count)]
                pending -= min(pending, len(self._batch))
                await self._write()

    async def _write(self) -> None:
        """Writes the batch; after a permanent error one by one. On a transient error raises and keeps the rest."""
        try:
            await self._decisions.record(self._batch)
        except Exception as error:
            if is_transient(error):
                raise
            while self._batch:
                await self._write_one(self._batch[0])
                del self._batch[0]
        else:
            self._batch = []

    async def _write_one(self, decision: Decision) -> None:
        try:
            await self._decisions.record([decision])
        except Exception as error:
            if is_transient(error):
                raise
            _log.exception("a decision cannot be recorded", selection_id=decision.selection_id)
            self._dropped.labels().inc()

    async def _run(self) -> None:
        while True:
            await self._has_queued.wait()
            await self._clock.sleep(BATCH_DELAY_S)
            self._has_queued.clear()
            try:
                await self.flush()
            except SomaError as error:
                self._has_queued.set()
                pending = len(self._batch) + self._queue.qsize()
                _log.warning("decisions wait for the database", waiting=pending, reason=error.reason.value)
                await self._clock.sleep(RETRY_DELAY_S)
