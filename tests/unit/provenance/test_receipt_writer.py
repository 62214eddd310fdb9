"""How receipts come to be written: beside the intake, within bounds, none forgotten."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from mesh.testing import FakeClock
from soma.executor.v1 import job_pb2
from svc_provenance.adapters.memory import MemoryRecord
from svc_provenance.app.receipts import Due, JobKey, ReceiptQueue, ReceiptWriter, Writing
from svc_provenance.domain.model import Attempt, Fact, Kind, Run, StepNote
from svc_provenance.domain.receipts import Form
from svc_provenance.events.receipts import figures

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from svc_provenance.app.receipts import Filters, Mark
    from svc_provenance.domain.receipts import Figures, Receipt

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Shelf:
    """A `ReceiptStore` that shows what was done with it."""

    def __init__(self) -> None:
        self.waiting: dict[JobKey, Due] = {}
        self.receipts: dict[JobKey, Receipt] = {}
        self.postponed: list[float] = []
        self.down = False
        self.written = asyncio.Event()

    async def due_now(self, limit: int) -> Sequence[JobKey]:
        return list(self.waiting)[:limit]

    async def due(self, key: JobKey) -> Due | None:
        if self.down:
            raise ConnectionError
        return self.waiting.get(key)

    async def settle(self, key: JobKey, due: Due, receipt: Receipt | None) -> None:
        if receipt is not None:
            self.receipts[key] = receipt
            self.written.set()
        if self.waiting.get(key) == due:
            del self.waiting[key]

    async def postpone(self, key: JobKey, due: Due, seconds: float, receipt: Receipt | None) -> None:
        if receipt is not None:
            self.receipts[key] = receipt
        self.postponed.append(seconds)

    async def page(self, tenant_id: str, filters: Filters, after: Mark | None, limit: int) -> Sequence[Receipt]:
        return []

    async def receipt(self, tenant_id: str, id_: str) -> Receipt | None:
        return None


class Desk:
    """A writer, its shelf, queue and record."""

    def __init__(self, capacity: int = 10, shed_above: int = 5) -> None:
        self.clock = FakeClock(NOW)
        self.shelf = Shelf()
        self.record = MemoryRecord()
        self.queue = ReceiptQueue(capacity, shed_above)
        self.shed = 0
        writing = Writing(0.6, timedelta(hours=1))
        self.writer = ReceiptWriter(
            self.shelf, self.record, figures, self.queue, writing, self.clock, on_shed=self._count
        )

    def _count(self) -> None:
        self.shed += 1

    async def job(self, name: str, *, failed: bool = False, complete: bool = True, ended: bool = True) -> JobKey:
        """A job on the record, whose receipt is due."""
        state = job_pb2.JOB_STATE_COMPLETED if ended else job_pb2.JOB_STATE_RUNNING
        document = job_pb2.Job(job_id=name, state=state).SerializeToString()
        run = Run(name, "completed", ended, (StepNote("a", "t", "succeeded", 1),))
        await self.record.add_fact(None, "acme", Fact(Kind.JOB, name, name, NOW, run, document))
        if complete:
            await self.attempt(name, failed=failed)
        key = JobKey("acme", name)
        self.shelf.waiting[key] = Due(1, 0, self.clock.now())
        return key

    async def attempt(self, name: str, *, failed: bool = False) -> None:
        status = job_pb2.EXECUTION_STATUS_FAILED if failed else job_pb2.EXECUTION_STATUS_SUCCEEDED
        made = job_pb2.Execution(
            execution_id=f"{name}-x", job_id=name, status=status, error_code="UNAVAILABLE" if failed else ""
        )
        summary = Attempt(f"{name}-x", "a", "t", 1, "t@p", "failed" if failed else "succeeded")
        fact = Fact(Kind.EXECUTION, f"{name}-x", name, NOW, summary, made.SerializeToString())
        await self.record.add_fact(None, "acme", fact)

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self.writer.work()), asyncio.create_task(self.writer.find(5.0))]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_job_whose_facts_are_complete_gets_its_receipt() -> None:
    desk = Desk()
    key = await desk.job("j")
    written = await desk.writer.write(key)
    assert written is not None
    assert (written.form, written.complete, written.attempts) == (Form.COMPACT, True, 1)
    assert desk.shelf.waiting == {}


async def test_while_facts_are_missing_it_waits_longer_and_longer() -> None:
    desk = Desk()
    key = await desk.job("j", complete=False)
    desk.shelf.waiting[key] = Due(1, 3, NOW)
    assert await desk.writer.write(key) is None
    assert (desk.shelf.postponed, desk.shelf.receipts) == ([8.0], {})


async def test_facts_that_never_come_are_not_waited_for_for_ever() -> None:
    desk = Desk()
    key = await desk.job("j", complete=False)
    await desk.clock.advance(3_600)
    written = await desk.writer.write(key)
    assert written is not None
    assert not written.complete
    assert key in desk.shelf.waiting


async def test_the_facts_of_a_job_are_joined_in_a_thread() -> None:
    desk, seen = Desk(), set[int]()

    def noting(facts: Sequence[Fact]) -> Figures | None:
        seen.add(threading.get_ident())
        return figures(facts)

    desk.writer._read = noting
    assert await desk.writer.write(await desk.job("j")) is not None
    assert seen
    assert threading.get_ident() not in seen


async def test_a_job_that_runs_again_is_told_by_its_next_end() -> None:
    desk = Desk()
    key = await desk.job("j", ended=False)
    assert await desk.writer.write(key) is None
    assert desk.shelf.waiting == {}


async def test_a_job_whose_facts_are_gone_is_forgotten() -> None:
    desk = Desk()
    key = JobKey("acme", "gone")
    desk.shelf.waiting[key] = Due(1, 0, NOW)
    assert await desk.writer.write(key) is None
    assert desk.shelf.waiting == {}


async def test_under_pressure_a_full_receipt_takes_the_compact_form_and_is_counted() -> None:
    desk = Desk()
    written = await desk.writer.write(await desk.job("j", failed=True), pressed=True)
    assert written is not None
    assert (written.form, len(written.causes), written.attempt_details, desk.shed) == (Form.COMPACT, 1, (), 1)


async def test_under_pressure_a_receipt_in_order_is_not_counted_as_shed() -> None:
    desk = Desk()
    await desk.writer.write(await desk.job("j"), pressed=True)
    assert desk.shed == 0


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
    desk = Desk(capacity=2, shed_above=2)
    keys = [await desk.job(str(number)) for number in range(9)]
    assert [desk.queue.offer(key) for key in keys].count(False) == 7
    async with desk.working():
        while len(desk.shelf.receipts) < len(keys):
            await desk.clock.sleeper()
            await desk.clock.advance(5)
    assert set(desk.shelf.receipts) == set(keys)


async def test_an_outage_loses_no_receipt() -> None:
    desk = Desk()
    key = await desk.job("j")
    desk.shelf.down = True
    async with desk.working():
        await desk.clock.sleeper()
        desk.shelf.down = False
        await desk.clock.advance(5)
        async with asyncio.timeout(20):
            await desk.shelf.written.wait()
    assert set(desk.shelf.receipts) == {key}
