"""Writes the receipts of jobs that ended, beside the path that takes facts in; reads them."""

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
from svc_provenance.domain.receipts import figures_of, trace_digest, write
from svc_provenance.domain.trace import join

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime, timedelta

    from mesh.clock import Clock
    from svc_provenance.app.ports import ReceiptStore, Record
    from svc_provenance.domain.model import Fact
    from svc_provenance.domain.pages import PageCursor
    from svc_provenance.domain.receipts import Cause, Form, Receipt
    from svc_provenance.domain.trace import Trace

LONGEST_PAUSE_S = 3_600.0
_AFTER_FAILURE_S = 1.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class JobKey:
    """A tenant's job."""

    tenant_id: str
    job_id: str


@dataclass(frozen=True)
class Due:
    """That a job's receipt is to be written: since when, after how many tries, on which news."""

    news: int
    tries: int
    since: datetime


@dataclass(frozen=True)
class ReceiptFilters:
    """Which receipts are wanted; None for every one."""

    form: Form | None = None
    cause: Cause | None = None
    start: datetime | None = None
    end: datetime | None = None


class ReceiptQueue:
    """Jobs that wait for their receipt; holds each once, `capacity` at most, and never makes anyone wait."""

    def __init__(self, capacity: int, shed_above: int) -> None:
        self._capacity = capacity
        self._shed_above = shed_above
        self._keys: deque[JobKey] = deque()
        self._known: set[JobKey] = set()
        self._filled = asyncio.Event()

    @property
    def room(self) -> int:
        """How many more it takes before it is under pressure."""
        return max(0, self._shed_above - len(self._keys))

    def offer(self, key: JobKey) -> bool:
        """Take a job; False when there is no room: it stays due, and is found again."""
        if key in self._known:
            return True
        if len(self._keys) >= self._capacity:
            return False
        self._keys.append(key)
        self._known.add(key)
        self._filled.set()
        return True

    async def take(self) -> tuple[JobKey, bool]:
        """Wait for a job; tells whether there is pressure."""
        while not self._keys:
            self._filled.clear()
            await self._filled.wait()
        under_pressure = len(self._keys) > self._shed_above
        key = self._keys.popleft()
        self._known.discard(key)
        return key, under_pressure


@dataclass(frozen=True)
class ReceiptOptions:
    """How receipts are written.

    Quality below `low_quality` makes a receipt full; facts that are still missing `missing_facts_timeout` after the
    job's end are not waited for any longer.
    """

    low_quality: float
    missing_facts_timeout: timedelta


class ReceiptWriter:
    """Joins the facts of jobs that ended and writes their receipts."""

    def __init__(
        self,
        store: ReceiptStore,
        record: Record,
        queue: ReceiptQueue,
        writing: ReceiptOptions,
        clock: Clock,
        *,
        on_shed: Callable[[], None] = lambda: None,
        on_written: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._record = record
        self._queue = queue
        self._writing = writing
        self._clock = clock
        self._on_shed = on_shed
        self._on_written = on_written

    async def work(self) -> None:
        """Write what the queue gives, for ever; what fails stays due."""
        while True:
            key, under_pressure = await self._queue.take()
            try:
                await self.write(key, under_pressure=under_pressure)
            except Exception as error:  # noqa: BLE001 - an outage: the job is found again
                _log.warning("no receipt of job %s now: %s", key.job_id, error, exc_info=exc_info_if_unexpected(error))
                await self._clock.sleep(_AFTER_FAILURE_S)

    async def find(self, every_s: float) -> None:
        """Put jobs into the queue that it did not hear of, or had no room for; at once, then over and over."""
        while True:
            for key in await self._store.due_now(self._queue.room):
                self._queue.offer(key)
            await self._clock.sleep(every_s)

    async def write(self, key: JobKey, *, under_pressure: bool = False) -> Receipt | None:
        """Write the receipt of a job if it is due and its facts are complete; under pressure in the compact form."""
        due = await self._store.due(key)
        if due is None:
            return None
        facts = await self._record.facts(key.tenant_id, key.job_id)
        trace, receipt = await run_in_thread(partial(self._join, key, facts))
        if receipt is None:  # it is gone, or runs again: its end will tell
            await self._store.settle(key, due, None)
            return None
        late = self._clock.now() - due.since >= self._writing.missing_facts_timeout
        pause_s = min(2.0 ** min(due.tries, 20), LONGEST_PAUSE_S)
        if not trace.complete and not late:
            await self._store.postpone(key, due, pause_s, None)
            return None
        if under_pressure and receipt.causes:
            receipt = receipt.compact
            self._on_shed()
        if trace.complete:
            await self._store.settle(key, due, receipt)
        else:
            await self._store.postpone(key, due, LONGEST_PAUSE_S, receipt)
        self._on_written(receipt.form.value)
        return receipt

    def _join(self, key: JobKey, facts: Sequence[Fact]) -> tuple[Trace, Receipt | None]:
        """The trace, and the receipt of a job that ended; a job may have thousands of facts."""
        figures, trace = figures_of(facts), join(facts)
        if figures is None:
            return trace, None
        digest = trace_digest(key.job_id, facts)
        return trace, write(key.tenant_id, figures, trace, digest, low_quality=self._writing.low_quality)


class Receipts:
    """Reads receipts."""

    def __init__(self, store: ReceiptStore) -> None:
        self._store = store

    async def page(
        self, tenant_id: str, filters: ReceiptFilters, after: PageCursor | None, limit: int
    ) -> tuple[Sequence[Receipt], PageCursor | None]:
        """A page, newest first, and where the next one goes on; None at the end."""
        return await self._store.page(tenant_id, filters, after, limit)

    async def get(self, tenant_id: str, id_: str) -> Receipt:
        """A receipt by its own id or its job's; NOT_FOUND when there is none."""
        receipt = await self._store.receipt(tenant_id, id_)
        if receipt is None:
            raise not_found("receipt", id_)
        return receipt
