"""How receipts come to be written: beside the intake, within bounds, none forgotten."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from mesh.testing import FakeClock
from soma.executor.v1 import job_pb2
from svc_provenance.app import receipts
from svc_provenance.app.receipts import DueReceipt, JobKey, ReceiptOptions, ReceiptQueue, ReceiptWriter
from svc_provenance.domain.model import (
    Attempt,
    AttemptStatus,
    EntryKind,
    JobSummary,
    StepState,
    StepSummary,
    TraceEntry,
)
from svc_provenance.domain.receipts import Form, job_result
from tests.in_memory.provenance import MemoryProvenanceStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    import pytest

    from svc_provenance.app.receipts import PageCursor, ReceiptFilters
    from svc_provenance.domain.receipts import JobResult, Receipt

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class FakeReceiptStore:
    """A `ReceiptStore` that shows what was done with it."""

    def __init__(self) -> None:
        self.waiting: dict[JobKey, DueReceipt] = {}
        self.receipts: dict[JobKey, Receipt] = {}
        self.postponed: list[float] = []
        self.down = False
        self.written = asyncio.Event()

    async def claim_due(self, limit: int) -> Sequence[JobKey]:
        return list(self.waiting)[:limit]

    async def due(self, key: JobKey) -> DueReceipt | None:
        if self.down:
            raise ConnectionError
        return self.waiting.get(key)

    async def complete(self, key: JobKey, due: DueReceipt, receipt: Receipt | None) -> None:
        if receipt is not None:
            self.receipts[key] = receipt
            self.written.set()
        if self.waiting.get(key) == due:
            del self.waiting[key]

    async def postpone(self, key: JobKey, due: DueReceipt, seconds: float, receipt: Receipt | None) -> None:
        if receipt is not None:
            self.receipts[key] = receipt
        self.postponed.append(seconds)

    async def page(
        self, tenant_id: str, filters: ReceiptFilters, after: PageCursor | None, limit: int
    ) -> Sequence[Receipt]:
        return []

    async def get(self, tenant_id: str, id_: str) -> Receipt | None:
        return None


class ReceiptWriterHarness:
    """A writer, its store, queue and record."""

    def __init__(self, capacity: int = 10, compact_above: int = 5) -> None:
        self.clock = FakeClock(NOW)
        self.store = FakeReceiptStore()
        self.provenance = MemoryProvenanceStore()
        self.queue = ReceiptQueue(capacity, compact_above)
        self.compacted = 0
        writing = ReceiptOptions(0.6, timedelta(hours=1))
        self.writer = ReceiptWriter(
            self.store, self.provenance, self.queue, writing, self.clock, on_compacted=self._count
        )

    def _count(self) -> None:
        self.compacted += 1

    async def job(self, name: str, *, failed: bool = False, complete: bool = True, ended: bool = True) -> JobKey:
        """A job on the record, whose receipt is due."""
        state = job_pb2.JOB_STATE_COMPLETED if ended else job_pb2.JOB_STATE_RUNNING
        document = job_pb2.Job(job_id=name, state=state).SerializeToString()
        run = JobSummary(name, "completed", ended, (StepSummary("a", "t", StepState.SUCCEEDED, 1),))
        await self.provenance.add_entries(None, "acme", [TraceEntry(EntryKind.JOB, name, name, NOW, run, document)])
        if complete:
            await self.attempt(name, failed=failed)
        key = JobKey("acme", name)
        self.store.waiting[key] = DueReceipt(1, 0, self.clock.now())
        return key

    async def attempt(self, name: str, *, failed: bool = False) -> None:
        status = job_pb2.EXECUTION_STATUS_FAILED if failed else job_pb2.EXECUTION_STATUS_SUCCEEDED
        made = job_pb2.Execution(
            execution_id=f"{name}-x", job_id=name, status=status, error_code="UNAVAILABLE" if failed else ""
        )
        state = AttemptStatus.FAILED if failed else AttemptStatus.SUCCEEDED
        summary = Attempt(f"{name}-x", "a", "t", 1, "t@p", state, error_code=made.error_code)
        fact = TraceEntry(EntryKind.EXECUTION, f"{name}-x", name, NOW, summary, made.SerializeToString())
        await self.provenance.add_entries(None, "acme", [fact])

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self.writer.run()), asyncio.create_task(self.writer.poll(5.0))]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_job_whose_facts_are_complete_gets_its_receipt() -> None:
    harness = ReceiptWriterHarness()
    key = await harness.job("j")
    written = await harness.writer.write(key)
    assert written is not None
    assert (written.form, written.complete, written.attempts) == (Form.COMPACT, True, 1)
    assert harness.store.waiting == {}


async def test_while_facts_are_missing_it_waits_longer_and_longer() -> None:
    harness = ReceiptWriterHarness()
    key = await harness.job("j", complete=False)
    harness.store.waiting[key] = DueReceipt(1, 3, NOW)
    assert await harness.writer.write(key) is None
    assert (harness.store.postponed, harness.store.receipts) == ([8.0], {})


async def test_facts_that_never_come_are_not_waited_for_for_ever() -> None:
    harness = ReceiptWriterHarness()
    key = await harness.job("j", complete=False)
    await harness.clock.advance(3_600)
    written = await harness.writer.write(key)
    assert written is not None
    assert not written.complete
    assert key in harness.store.waiting


async def test_the_facts_of_a_job_are_joined_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    harness, seen = ReceiptWriterHarness(), set[int]()

    def noting(facts: Sequence[TraceEntry]) -> JobResult | None:
        seen.add(threading.get_ident())
        return job_result(facts)

    monkeypatch.setattr(receipts, "job_result", noting)
    assert await harness.writer.write(await harness.job("j")) is not None
    assert seen
    assert threading.get_ident() not in seen


async def test_a_job_that_runs_again_is_told_by_its_next_end() -> None:
    harness = ReceiptWriterHarness()
    key = await harness.job("j", ended=False)
    assert await harness.writer.write(key) is None
    assert harness.store.waiting == {}


async def test_a_job_whose_facts_are_gone_is_forgotten() -> None:
    harness = ReceiptWriterHarness()
    key = JobKey("acme", "gone")
    harness.store.waiting[key] = DueReceipt(1, 0, NOW)
    assert await harness.writer.write(key) is None
    assert harness.store.waiting == {}


async def test_under_pressure_a_full_receipt_takes_the_compact_form_and_is_counted() -> None:
    harness = ReceiptWriterHarness()
    written = await harness.writer.write(await harness.job("j", failed=True), compact=True)
    assert written is not None
    assert (written.form, len(written.causes), written.attempt_details, harness.compacted) == (Form.COMPACT, 1, (), 1)


async def test_under_pressure_a_receipt_in_order_is_not_counted_as_shed() -> None:
    harness = ReceiptWriterHarness()
    await harness.writer.write(await harness.job("j"), compact=True)
    assert harness.compacted == 0


async def test_the_queue_says_when_there_is_pressure() -> None:
    queue = ReceiptQueue(10, 1)
    for name in ("a", "b"):
        queue.offer(JobKey("acme", name))
    assert await queue.take() == (JobKey("acme", "a"), True)
    assert await queue.take() == (JobKey("acme", "b"), False)


async def test_a_full_queue_refuses_at_once_and_holds_each_job_once() -> None:
    queue = ReceiptQueue(2, 2)
    first, second, third = (JobKey("acme", name) for name in "abc")
    assert [queue.offer(key) for key in (first, first, second, third)] == [True, True, True, False]
    assert [await queue.take() for _ in range(2)] == [(first, False), (second, False)]


async def test_jobs_that_found_no_room_are_found_again() -> None:
    harness = ReceiptWriterHarness(capacity=2, compact_above=2)
    keys = [await harness.job(str(number)) for number in range(9)]
    assert [harness.queue.offer(key) for key in keys].count(False) == 7
    async with harness.working():
        while len(harness.store.receipts) < len(keys):
            await harness.clock.sleeper()
            await harness.clock.advance(5)
    assert set(harness.store.receipts) == set(keys)


async def test_an_outage_loses_no_receipt() -> None:
    harness = ReceiptWriterHarness()
    key = await harness.job("j")
    harness.store.down = True
    async with harness.working():
        await harness.clock.sleeper()
        harness.store.down = False
        await harness.clock.advance(5)
        async with asyncio.timeout(20):
            await harness.store.written.wait()
    assert set(harness.store.receipts) == {key}
