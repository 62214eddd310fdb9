"""Receipts over real Postgres: made due with the facts, written once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

from mesh.rpc.wellknown import timestamp
from mesh.stores.postgres import SYSTEM
from soma.events.v1 import facts_pb2
from soma.executor.v1 import job_pb2
from soma.selector.v1 import selection_pb2
from svc_provenance.adapters.postgres.receipts import CHANNEL
from svc_provenance.app.receipts import JobKey, ReceiptFilters, ReceiptOptions, ReceiptQueue, ReceiptWriter
from svc_provenance.domain.receipts import Cause, Form, receipt_id_of
from tests.integration.provenance.receipts.harness import IDS, NOW, ReceiptHarness


async def test_the_end_of_a_job_makes_its_receipt_due_and_says_so(harness: ReceiptHarness) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    async with harness.postgres.listen(f"{harness.postgres.schema}.{CHANNEL}", heard.put_nowait), asyncio.timeout(20):
        assert await heard.get() == ""
        job_id = IDS.new()
        await harness.attempt(job_id)
        await harness.end(job_id)
        assert await heard.get() == f"acme\n{job_id}"
    assert list(await harness.store.claim_due(10)) == [JobKey("acme", job_id)]
    assert list(await harness.store.claim_due(10)) == []


async def test_a_job_has_one_receipt_however_often_it_is_written(harness: ReceiptHarness) -> None:
    job_id = await harness.job()
    key = JobKey("acme", job_id)
    assert await harness.writer.write(key) is None
    await harness.end(job_id)
    await asyncio.gather(*(harness.writer.write(key) for _ in range(4)))
    page, _ = await harness.store.page("acme", ReceiptFilters(), None, 10)
    assert [receipt.receipt_id for receipt in page] == [receipt_id_of("acme", job_id)]
    assert await harness.store.due(key) is None


async def test_a_receipt_waits_until_every_fact_is_there(harness: ReceiptHarness) -> None:
    job_id = IDS.new()
    key = JobKey("acme", job_id)
    await harness.end(job_id)
    assert await harness.writer.write(key) is None
    await harness.attempt(job_id)
    assert await harness.store.claim_due(10) == [key]
    receipt = await harness.writer.write(key)
    assert receipt is not None
    assert (receipt.complete, receipt.cost_micro_usd) == (True, 7)


async def test_a_receipt_waits_until_each_step_told_its_end(harness: ReceiptHarness) -> None:
    job_id = IDS.new()
    key = JobKey("acme", job_id)
    step = job_pb2.Step(step_id="a", state=job_pb2.STEP_STATE_SUCCEEDED, attempts=1)
    ended = job_pb2.Job(job_id=job_id, state=job_pb2.JOB_STATE_COMPLETED, end_time=timestamp(NOW), step_count=1)
    await harness.attempt(job_id)
    await harness.tell(facts_pb2.JobChanged(job=ended, sequence=4))
    assert await harness.writer.write(key) is None
    await harness.tell(facts_pb2.StepChanged(job_id=job_id, step=step, sequence=3))
    assert await harness.store.claim_due(10) == [key]
    receipt = await harness.writer.write(key)
    assert receipt is not None
    assert receipt.complete


async def test_news_of_a_job_that_has_a_receipt_is_written_into_it(harness: ReceiptHarness) -> None:
    job_id = await harness.job()
    selection = selection_pb2.Selection(
        selection_id=IDS.new(),
        subject_context=selection_pb2.SubjectContext(job_id=job_id, step_id="a", attempt=2),
        rejected=[selection_pb2.Rejection(capability_id="t@q", judgement=selection_pb2.JUDGEMENT_POLICY)],
    )
    await harness.tell(facts_pb2.SelectionMade(selection=selection))
    await harness.writer.write(JobKey("acme", job_id))
    receipt = await harness.store.get("acme", job_id)
    assert receipt is not None
    assert (receipt.form, receipt.causes) == (Form.FULL, (Cause.POLICY_DENIED,))


async def test_news_that_comes_while_a_receipt_is_written_leaves_it_due(harness: ReceiptHarness) -> None:
    job_id = IDS.new()
    key = JobKey("acme", job_id)
    await harness.attempt(job_id)
    await harness.end(job_id)
    due = await harness.store.due(key)
    assert due is not None
    await harness.end(job_id)
    await harness.store.complete(key, due, None)
    assert await harness.store.due(key) is not None


async def test_a_job_that_ended_again_by_a_clock_that_is_behind_has_its_new_receipt(harness: ReceiptHarness) -> None:
    job_id = await harness.job()
    await harness.end(job_id, NOW - timedelta(seconds=1), message="again")
    receipt = await harness.writer.write(JobKey("acme", job_id))
    assert receipt is not None
    assert await harness.store.get("acme", job_id) == receipt


async def test_a_writer_that_read_older_facts_writes_nothing(harness: ReceiptHarness) -> None:
    job_id = await harness.job()
    key = JobKey("acme", job_id)
    kept = await harness.store.get("acme", job_id)
    await harness.end(job_id)
    stale = await harness.store.due(key)
    assert kept is not None
    assert stale is not None
    await harness.store.complete(key, stale, kept)
    await harness.end(job_id)
    older = replace(kept, trace_digest="older")
    await harness.store.complete(key, stale, older)
    await harness.store.postpone(key, stale, 1.0, older)
    assert await harness.store.get("acme", job_id) == kept
    assert await harness.store.due(key) is not None, "the number of its news is the same, the row is another"


async def test_a_writer_that_heard_nothing_finds_what_is_due(harness: ReceiptHarness) -> None:
    job_id = IDS.new()
    await harness.attempt(job_id, error="UNAVAILABLE")
    await harness.end(job_id)
    tasks = [asyncio.create_task(harness.writer.run()), asyncio.create_task(harness.writer.poll(0.05))]
    try:
        async with asyncio.timeout(20):
            await harness.written.wait()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    receipt = await harness.store.get("acme", job_id)
    assert receipt is not None
    assert (receipt.form, receipt.causes) == (Form.FULL, (Cause.TOOL_FAILED,))
    assert [attempt.error_code for attempt in receipt.attempt_details] == ["UNAVAILABLE"]


async def test_a_flood_over_small_queues_and_a_writer_that_dies_leaves_one_receipt_for_each_job(
    harness: ReceiptHarness,
) -> None:
    jobs = [IDS.new() for _ in range(120)]
    other = ReceiptHarness(harness.postgres)
    for member in (harness, other):
        member.queue = ReceiptQueue(8, 4)
        member.writer = ReceiptWriter(
            member.store, member.provenance, member.queue, ReceiptOptions(0.6, timedelta(hours=1)), member.clock,
            on_compacted=member.count_compacted, on_written=lambda _, written=member.written: written.set(),
        )  # fmt: skip
    for place, job_id in enumerate(jobs):
        await harness.attempt(job_id, error="" if place % 3 else "TIMEOUT")
        await harness.end(job_id)
        for member in (harness, other):
            member.queue.offer(JobKey("acme", job_id))
    dying = asyncio.create_task(other.writer.run())
    async with asyncio.timeout(30):
        await other.written.wait()
        dying.cancel()
        await asyncio.gather(dying, return_exceptions=True)
        working = asyncio.create_task(harness.writer.run())
        try:
            while await harness.remaining():
                harness.written.clear()
                async with harness.postgres.transaction(
                    SYSTEM
                ) as connection:  # as if the pause of what was found is over
                    await connection.execute("UPDATE receipts_due SET not_before = clock_timestamp()")
                for key in await harness.store.claim_due(harness.queue.remaining):
                    harness.queue.offer(key)
                if await harness.remaining():
                    await harness.written.wait()
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
    page, _ = await harness.store.page("acme", ReceiptFilters(), None, 500)
    assert sorted(receipt.job_id for receipt in page) == sorted(jobs)
    wanted_full = {job_id for place, job_id in enumerate(jobs) if not place % 3}
    assert {receipt.job_id for receipt in page if receipt.causes} == wanted_full
    assert harness.compacted + other.compacted >= sum(r.form is Form.COMPACT for r in page if r.causes)
