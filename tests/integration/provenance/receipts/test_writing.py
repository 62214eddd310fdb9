"""Receipts over real Postgres: made due with the facts, written once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

from mesh.stores.postgres import SYSTEM
from soma.events.v1 import facts_pb2
from soma.selector.v1 import selection_pb2
from svc_provenance.adapters.receipts import CHANNEL
from svc_provenance.app.receipts import Filters, JobKey, ReceiptQueue, ReceiptWriter, Writing
from svc_provenance.domain.receipts import Cause, Form, receipt_id_of
from svc_provenance.events.receipts import figures
from tests.integration.provenance.receipts.office import IDS, NOW, Office


async def test_the_end_of_a_job_makes_its_receipt_due_and_says_so(office: Office) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    async with office.postgres.listen(f"{office.postgres.schema}.{CHANNEL}", heard.put_nowait), asyncio.timeout(20):
        assert await heard.get() == ""
        job_id = IDS.new()
        await office.attempt(job_id)
        await office.end(job_id)
        assert await heard.get() == f"acme\n{job_id}"
    assert list(await office.store.due_now(10)) == [JobKey("acme", job_id)]
    assert list(await office.store.due_now(10)) == []


async def test_a_job_has_one_receipt_however_often_it_is_written(office: Office) -> None:
    job_id = await office.job()
    key = JobKey("acme", job_id)
    assert await office.writer.write(key) is None
    await office.end(job_id)
    await asyncio.gather(*(office.writer.write(key) for _ in range(4)))
    page, _ = await office.store.page("acme", Filters(), None, 10)
    assert [receipt.receipt_id for receipt in page] == [receipt_id_of("acme", job_id)]
    assert await office.store.due(key) is None


async def test_a_receipt_waits_until_every_fact_is_there(office: Office) -> None:
    job_id = IDS.new()
    key = JobKey("acme", job_id)
    await office.end(job_id)
    assert await office.writer.write(key) is None
    await office.attempt(job_id)
    assert await office.store.due_now(10) == [key]
    receipt = await office.writer.write(key)
    assert receipt is not None
    assert (receipt.complete, receipt.cost_micro_usd) == (True, 7)


async def test_news_of_a_job_that_has_a_receipt_is_written_into_it(office: Office) -> None:
    job_id = await office.job()
    selection = selection_pb2.Selection(
        selection_id=IDS.new(),
        subject_context=selection_pb2.SubjectContext(job_id=job_id, step_id="a", attempt=2),
        rejected=[selection_pb2.Rejection(capability_id="t@q", judgement=selection_pb2.JUDGEMENT_POLICY)],
    )
    await office.tell(facts_pb2.SelectionMade(selection=selection))
    await office.writer.write(JobKey("acme", job_id))
    receipt = await office.store.receipt("acme", job_id)
    assert receipt is not None
    assert (receipt.form, receipt.causes) == (Form.FULL, (Cause.POLICY_DENIED,))


async def test_news_that_comes_while_a_receipt_is_written_leaves_it_due(office: Office) -> None:
    job_id = IDS.new()
    key = JobKey("acme", job_id)
    await office.attempt(job_id)
    await office.end(job_id)
    due = await office.store.due(key)
    assert due is not None
    await office.end(job_id)
    await office.store.settle(key, due, None)
    assert await office.store.due(key) is not None


async def test_a_job_that_ended_again_by_a_clock_that_is_behind_has_its_new_receipt(office: Office) -> None:
    job_id = await office.job()
    await office.end(job_id, NOW - timedelta(seconds=1), message="again")
    receipt = await office.writer.write(JobKey("acme", job_id))
    assert receipt is not None
    assert await office.store.receipt("acme", job_id) == receipt


async def test_a_writer_that_read_older_facts_writes_nothing(office: Office) -> None:
    job_id = await office.job()
    key = JobKey("acme", job_id)
    kept = await office.store.receipt("acme", job_id)
    await office.end(job_id)
    stale = await office.store.due(key)
    assert kept is not None
    assert stale is not None
    await office.store.settle(key, stale, kept)
    await office.end(job_id)
    older = replace(kept, trace_digest="older")
    await office.store.settle(key, stale, older)
    await office.store.postpone(key, stale, 1.0, older)
    assert await office.store.receipt("acme", job_id) == kept
    assert await office.store.due(key) is not None, "the number of its news is the same, the row is another"


async def test_a_writer_that_heard_nothing_finds_what_is_due(office: Office) -> None:
    job_id = IDS.new()
    await office.attempt(job_id, error="UNAVAILABLE")
    await office.end(job_id)
    tasks = [asyncio.create_task(office.writer.work()), asyncio.create_task(office.writer.find(0.05))]
    try:
        async with asyncio.timeout(20):
            await office.written.wait()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    receipt = await office.store.receipt("acme", job_id)
    assert receipt is not None
    assert (receipt.form, receipt.causes) == (Form.FULL, (Cause.TOOL_FAILED,))
    assert [attempt.error_code for attempt in receipt.attempt_details] == ["UNAVAILABLE"]


async def test_a_flood_over_small_queues_and_a_writer_that_dies_leaves_one_receipt_for_each_job(office: Office) -> None:
    jobs = [IDS.new() for _ in range(120)]
    other = Office(office.postgres)
    for member in (office, other):
        member.queue = ReceiptQueue(8, 4)
        member.writer = ReceiptWriter(
            member.store, member.record, figures, member.queue, Writing(0.6, timedelta(hours=1)), member.clock,
            on_shed=member.shed, on_written=lambda _, told=member.written: told.set(),
        )  # fmt: skip
    for place, job_id in enumerate(jobs):
        await office.attempt(job_id, error="" if place % 3 else "TIMEOUT")
        await office.end(job_id)
        for member in (office, other):
            member.queue.offer(JobKey("acme", job_id))
    dying = asyncio.create_task(other.writer.work())
    async with asyncio.timeout(30):
        await other.written.wait()
        dying.cancel()
        await asyncio.gather(dying, return_exceptions=True)
        working = asyncio.create_task(office.writer.work())
        try:
            while await office.remaining():
                office.written.clear()
                async with office.postgres.transaction(
                    SYSTEM
                ) as connection:  # as if the pause of what was found is over
                    await connection.execute("UPDATE receipts_due SET not_before = clock_timestamp()")
                for key in await office.store.due_now(office.queue.room):
                    office.queue.offer(key)
                if await office.remaining():
                    await office.written.wait()
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
    page, _ = await office.store.page("acme", Filters(), None, 500)
    assert sorted(receipt.job_id for receipt in page) == sorted(jobs)
    wanted_full = {job_id for place, job_id in enumerate(jobs) if not place % 3}
    assert {receipt.job_id for receipt in page if receipt.causes} == wanted_full
    assert office.sheds + other.sheds >= sum(r.form is Form.COMPACT for r in page if r.causes)
