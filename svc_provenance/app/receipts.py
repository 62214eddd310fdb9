"""Writes the receipts of jobs that ended, apart from the consumers of events; reads receipts."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from mesh.errors import not_found
from mesh.logging import exc_info_if_unexpected
from mesh.thread_slots import run_in_thread
from svc_provenance.domain.receipts import job_result, make_receipt, trace_digest
from svc_provenance.domain.trace import build_trace

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime, timedelta

    from mesh.clock import Clock
    from svc_provenance.app.ports import ProvenanceStore, ReceiptStore
    from svc_provenance.domain.model import TraceEntry
    from svc_provenance.domain.pages import PageCursor
    from svc_provenance.domain.receipts import Cause, Form, Receipt
    from svc_provenance.domain.trace import Trace

MAX_PAUSE_S = 3_600.0
_PAUSE_AFTER_FAILURE_S = 1.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class JobKey:
    """A tenant's job."""

    tenant_id: str
    job_id: str


@dataclass(frozen=True)
class DueReceipt:
    """A job's receipt that is to be written: since when, after how many tries, at which number of changes."""

    changes: int
    tries: int
    since: datetime


@dataclass(frozen=True)
class ReceiptFilters:
    """Filters of a list; None matches every receipt. `end` is exclusive."""

    form: Form | None = None
    cause: Cause | None = None
    start: datetime | None = None
    end: datetime | None = None


class ReceiptQueue:
    """Jobs that wait for their receipt; each once, `capacity` at most. It never blocks the producer."""

    def __init__(self, capacity: int, compact_above: int) -> None:
        self._capacity = capacity
        self._compact_above = compact_above
        self._keys: deque[JobKey] = deque()
        self._queued: set[JobKey] = set()
        self._filled = asyncio.Event()

    @property
    def remaining(self) -> int:
        """How many more jobs it takes before receipts become compact."""
        return max(0, self._compact_above - len(self._keys))

    def offer(self, key: JobKey) -> bool:
        """Adds a job; returns False when the queue is full: the receipt stays due, and is found by a later poll."""
        if key in self._queued:
            return True
        if len(self._keys) >= self._capacity:
            return False
        self._keys.append(key)
        self._queued.add(key)
        self._filled.set()
        return True

    async def take(self) -> tuple[JobKey, bool]:
        """Waits for a job; returns it, and whether the queue is so long that its receipt is to be compact."""
        while not self._keys:
            self._filled.clear()
            await self._filled.wait()
        compact = len(self._keys) > self._compact_above
        key = self._keys.popleft()
        self._queued.discard(key)
        return key, compact


@dataclass(frozen=True)
class ReceiptOptions:
    """How receipts are written.

    Quality below `low_quality` makes a receipt full. A receipt waits for missing entries until
    `missing_entries_timeout` after the end of its job.
    """

    low_quality: float
    missing_entries_timeout: timedelta


class ReceiptWriter:
    """Writes the receipts of jobs that ended. `on_compacted` is called for one that would have been full."""

    def __init__(
        self,
        receipts: ReceiptStore,
        provenance: ProvenanceStore,
        queue: ReceiptQueue,
        options: ReceiptOptions,
        clock: Clock,
        *,
        on_compacted: Callable[[], None] = lambda: None,
        on_written: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._receipts = receipts
        self._provenance = provenance
        self._queue = queue
        self._options = options
        self._clock = clock
        self._on_compacted = on_compacted
        self._on_written = on_written

    async def run(self) -> None:
        """Writes the receipts of queued jobs, for ever; a receipt whose writing fails stays due."""
        while True:
            key, compact = await self._queue.take()
            try:
                await self.write(key, compact=compact)
            except Exception as error:  # noqa: BLE001 - an outage: a later poll finds the job again
                _log.warning("no receipt of job %s now: %s", key.job_id, error, exc_info=exc_info_if_unexpected(error))
                await self._clock.sleep(_PAUSE_AFTER_FAILURE_S)

    async def poll(self, interval_s: float) -> None:
        """Queues jobs whose notification was missed, or found the queue full; at once, then at an interval."""
        while True:
            for key in await self._receipts.claim_due(self._queue.remaining):
                self._queue.offer(key)
            await self._clock.sleep(interval_s)

    async def write(self, key: JobKey, *, compact: bool = False) -> Receipt | None:
        """Writes the receipt of a job if it is due and its trace is complete; `compact` whatever its causes."""
        due = await self._receipts.due(key)
        if due is None:
            return None
        entries = await self._provenance.trace_entries(key.tenant_id, key.job_id)
        trace, receipt = await run_in_thread(partial(self._make_receipt, key, entries))
        if receipt is None:  # it was deleted, or runs again: its end makes the receipt due again
            await self._receipts.complete(key, due, None)
            return None
        has_timed_out = self._clock.now() - due.since >= self._options.missing_entries_timeout
        pause_s = min(2.0 ** min(due.tries, 20), MAX_PAUSE_S)
        if not trace.complete and not has_timed_out:
            await self._receipts.postpone(key, due, pause_s, None)
            return None
        if compact and receipt.causes:
            receipt = receipt.compact
            self._on_compacted()
        if trace.complete:
            await self._receipts.complete(key, due, receipt)
        else:
            await self._receipts.postpone(key, due, MAX_PAUSE_S, receipt)
        self._on_written(receipt.form.value)
        return receipt

    def _make_receipt(self, key: JobKey, entries: Sequence[TraceEntry]) -> tuple[Trace, Receipt | None]:
        """Returns the trace, and the receipt of a job that ended; a job may have thousands of entries."""
        result, trace = job_result(entries), build_trace(entries)
        if result is None:
            return trace, None
        digest = trace_digest(key.job_id, entries)
        return trace, make_receipt(key.tenant_id, result, trace, digest, low_quality=self._options.low_quality)


class Receipts:
    """Reads receipts."""

    def __init__(self, store: ReceiptStore) -> None:
        self._store = store

    async def page(
        self, tenant_id: str, filters: ReceiptFilters, after: PageCursor | None, limit: int
    ) -> tuple[Sequence[Receipt], PageCursor | None]:
        """Returns a page, newest first, and the cursor of the next one; None at the end."""
        return await self._store.page(tenant_id, filters, after, limit)

    async def get(self, tenant_id: str, id_: str) -> Receipt:
        """Returns a receipt by its own id or its job's; NOT_FOUND when there is none."""
        receipt = await self._store.get(tenant_id, id_)
        if receipt is None:
            raise not_found("receipt", id_)
        return receipt
