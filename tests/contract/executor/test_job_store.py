"""What every store of jobs promises."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from mesh.errors import Reason, SomaError
from mesh.ids import derive
from soma_providers.port import Feedback, Usage
from svc_executor.domain.job import (
    Execution,
    ExecutionContent,
    ExecutionStatus,
    JobState,
    SelectedCapability,
    StepState,
)
from svc_executor.domain.run import JobRun
from svc_executor.domain.timeline import (
    Compensation,
    CompensationKind,
    EventType,
    ExecutionFact,
    JobEvent,
    JobFact,
)
from tests.contract.executor.conftest import START, Submit

if TYPE_CHECKING:
    from svc_executor.app.ports import JobStore
    from svc_executor.domain.job import Job


def an_execution(job: Job, step_id: str = "b", index: int = 1, attempt: int = 1) -> Execution:
    return Execution(
        execution_id=derive(job.job_id, step_id, str(attempt)),
        job_id=job.job_id,
        step_id=step_id,
        step_index=index,
        attempt=attempt,
        step_type="generate_diagram",
        modality="diagram",
        capability=SelectedCapability(
            "t@p", "t", "p", "t", default_parameters={"theme": "plain"}, owner_tenant_id="tenant-a"
        ),
        usage=Usage(images=2, seconds=0.5),
        selection_id="selection",
        idempotency_key="key",
        content=ExecutionContent({"nested": [1, 2.5, None, {"a": True}]}),
        feedback=(Feedback("clarity", "TOO_SMALL", "larger", {"min_width_px": 1200}),),
        asset_ids=("x", "y"),
        quality_score=0.5,
        started_at=START,
    )


def without_content(execution: Execution) -> Execution:
    return replace(execution, content=None)


def an_event(job: Job, message: str) -> JobEvent:
    return JobEvent(
        0, EventType.STEP, job.job_id, message, job.state, 0.5, START, "b", StepState.RUNNING, "t@p", ("x",), 2
    )


async def test_a_submitted_job_reads_back_equal_with_its_steps_and_first_event(
    store: JobStore, submission: Submit
) -> None:
    given = submission(title="SRS", session_id="s-1", trace_id="t", traceparent="tp")
    assert await store.submit(given) == given.job
    assert await store.job("tenant-a", given.job.job_id) == given.job
    assert await store.steps("tenant-a", given.job.job_id) == [step.summary for step in given.steps]
    assert await store.events("tenant-a", given.job.job_id, 0, 10) == [replace(given.first_event, sequence=1)]


async def test_the_same_request_gives_the_same_job(store: JobStore, submission: Submit) -> None:
    first = await store.submit(submission(request_id="r"))
    assert (await store.submit(submission(request_id="r"))).job_id == first.job_id


async def test_the_same_request_id_with_another_body_is_refused(store: JobStore, submission: Submit) -> None:
    await store.submit(submission(request_id="r"))
    with pytest.raises(SomaError) as caught:
        await store.submit(submission(request_id="r", body=b"another"))
    assert caught.value.reason is Reason.IDEMPOTENCY_MISMATCH


async def test_request_ids_of_tenants_do_not_meet(store: JobStore, submission: Submit) -> None:
    one = await store.submit(submission(request_id="r"))
    other = await store.submit(submission(tenant="tenant-b", request_id="r", body=b"another"))
    assert one.job_id != other.job_id


async def test_two_equal_requests_at_once_make_one_job(store: JobStore, submission: Submit) -> None:
    made = await asyncio.gather(*(store.submit(submission(request_id="r")) for _ in range(5)))
    assert len({job.job_id for job in made}) == 1
    assert len(await store.page("tenant-a", None, "", 10)) == 1


async def test_another_tenants_job_does_not_exist(store: JobStore, submission: Submit) -> None:
    job = await store.submit(submission())
    for reading in (
        store.job("tenant-b", job.job_id),
        store.steps("tenant-b", job.job_id),
        store.describe("tenant-b", job.job_id),
        store.events("tenant-b", job.job_id, 0, 10),
    ):
        with pytest.raises(SomaError) as caught:
            await reading
        assert caught.value.reason is Reason.NOT_FOUND
    with pytest.raises(SomaError) as refused:
        async with store.transaction("tenant-b", job.job_id):
            pass
    assert refused.value.reason is Reason.NOT_FOUND
    assert await store.page("tenant-b", None, "", 10) == []


async def test_what_a_transaction_saves_reads_back_equal(store: JobStore, submission: Submit) -> None:
    job = await store.submit(submission())
    execution = an_execution(job)
    compensation = Compensation(
        job.job_id, 1, 0, CompensationKind.ASSET, "x", "b", execution.execution_id, START, True, "m"
    )
    running = replace(job, state=JobState.RUNNING, started_at=START, cost_micro_usd=5, cancel_reason="enough")
    async with store.transaction("tenant-a", job.job_id) as transaction:
        step = replace(
            await transaction.step("b"), state=StepState.SUCCEEDED, asset_ids=("x", "y"), text="…", quality_score=0.25
        )
        await transaction.save_job(running)
        await transaction.save_step(step)
        await transaction.save_execution(execution)
        await transaction.save_compensation(compensation)
        assert transaction.job == running
        assert await transaction.step("b") == step
    description = await store.describe("tenant-a", job.job_id)
    assert (description.job, description.steps[1]) == (running, step)
    assert (list(description.executions), list(description.compensations)) == ([execution], [compensation])


async def test_saving_an_attempt_again_replaces_it(store: JobStore, submission: Submit) -> None:
    job = await store.submit(submission())
    execution = an_execution(job)
    ended = replace(execution, status=ExecutionStatus.SUCCEEDED, ended_at=START, settled=True)
    for version in (execution, ended):
        async with store.transaction("tenant-a", job.job_id) as transaction:
            await transaction.save_execution(version)
    async with store.transaction("tenant-a", job.job_id) as transaction:
        assert await transaction.executions([("b", 1)]) == [without_content(ended)]
        assert await transaction.execution("b", 1) == ended
        assert await transaction.execution("b", 2) is None


async def test_a_transaction_that_raises_changes_nothing(store: JobStore, submission: Submit) -> None:
    job = await store.submit(submission())

    async def change_and_stop() -> None:
        async with store.transaction("tenant-a", job.job_id) as transaction:
            await transaction.save_job(replace(job, state=JobState.FAILED))
            await transaction.save_execution(an_execution(job))
            await transaction.append(an_event(job, "never"))
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        await change_and_stop()
    description = await store.describe("tenant-a", job.job_id)
    assert (description.job, len(description.events), list(description.executions)) == (job, 1, [])


async def test_sequences_have_no_gaps_however_many_write(store: JobStore, submission: Submit) -> None:
    job = await store.submit(submission())

    async def write(number: int) -> None:
        async with store.transaction("tenant-a", job.job_id) as transaction:
            await transaction.append(an_event(job, f"{number} first"))
            await transaction.append(an_event(job, f"{number} second"))
            if number % 3 == 0:
                raise ValueError(number)

    ends = await asyncio.gather(*(write(number) for number in range(9)), return_exceptions=True)
    assert sum(isinstance(end, ValueError) for end in ends) == 3
    events = await store.events("tenant-a", job.job_id, 0, 100)
    assert [event.sequence for event in events] == list(range(1, 14))
    assert [event.sequence for event in await store.events("tenant-a", job.job_id, 5, 3)] == [6, 7, 8]


async def test_changes_of_one_job_come_one_after_the_other(store: JobStore, submission: Submit) -> None:
    job = await store.submit(submission())

    async def add() -> None:
        async with store.transaction("tenant-a", job.job_id) as transaction:
            await transaction.save_job(replace(transaction.job, cost_micro_usd=transaction.job.cost_micro_usd + 1))

    await asyncio.gather(*(add() for _ in range(20)))
    assert (await store.job("tenant-a", job.job_id)).cost_micro_usd == 20


async def test_a_watcher_is_woken_when_the_timeline_grows(store: JobStore, submission: Submit) -> None:
    job = await store.submit(submission())
    async with store.wakeup(job.job_id) as wakeup:
        while await wakeup.wait(0.2):
            pass
        async with store.transaction("tenant-a", job.job_id) as transaction:
            await transaction.append(an_event(job, "news"))
        assert await wakeup.wait(5.0)


async def test_pages_are_newest_first_and_filtered_by_state(store: JobStore, submission: Submit) -> None:
    jobs = [await store.submit(submission()) for _ in range(3)]
    async with store.transaction("tenant-a", jobs[1].job_id) as transaction:
        await transaction.save_job(replace(transaction.job, state=JobState.FAILED))
    page = await store.page("tenant-a", None, "", 2)
    assert [job.job_id for job in page] == [jobs[2].job_id, jobs[1].job_id]
    rest = await store.page("tenant-a", None, page[-1].job_id, 2)
    assert [job.job_id for job in rest] == [jobs[0].job_id]
    assert [job.job_id for job in await store.page("tenant-a", JobState.FAILED, "", 9)] == [jobs[1].job_id]


async def test_the_oldest_open_jobs_of_a_tenant_start_next(store: JobStore, submission: Submit) -> None:
    jobs = [await store.submit(submission()) for _ in range(5)]
    await store.submit(submission(tenant="tenant-b"))
    for job, state in zip(jobs, (JobState.COMPLETED, JobState.RUNNING), strict=False):
        async with store.transaction("tenant-a", job.job_id) as transaction:
            await transaction.save_job(replace(transaction.job, state=state))
    assert await store.next_to_start("tenant-a", 1) == []
    assert await store.next_to_start("tenant-a", 3) == [JobRun("tenant-a", job.job_id, 1) for job in jobs[2:4]]
    assert await store.next_to_start("tenant-c", 3) == []


async def test_jobs_that_run_take_the_places_of_older_ones_that_wait(store: JobStore, submission: Submit) -> None:
    jobs = [await store.submit(submission()) for _ in range(4)]
    for job in jobs[2:]:
        async with store.transaction("tenant-a", job.job_id) as transaction:
            await transaction.save_job(replace(transaction.job, state=JobState.RUNNING))
    counts = [len(await store.next_to_start("tenant-a", running)) for running in (1, 2, 3, 4)]
    assert counts == [0, 0, 1, 2]
    assert await store.next_to_start("tenant-a", 3) == [JobRun("tenant-a", jobs[0].job_id, 1)]


async def test_tenants_with_waiting_jobs_are_found_in_order(store: JobStore, submission: Submit) -> None:
    jobs = {tenant: await store.submit(submission(tenant=tenant)) for tenant in ("tenant-c", "tenant-a", "tenant-b")}
    last = await store.submit(submission(tenant="tenant-a"))
    later = last.created_at + timedelta(seconds=1)
    async with store.transaction("tenant-b", jobs["tenant-b"].job_id) as transaction:
        await transaction.save_job(replace(transaction.job, state=JobState.RUNNING))
    assert await store.waiting_tenants("", later, 10) == ["tenant-a", "tenant-c"]
    assert await store.waiting_tenants("", later, 1) == ["tenant-a"]
    assert await store.waiting_tenants("tenant-a", later, 10) == ["tenant-c"]
    assert await store.waiting_tenants("", jobs["tenant-c"].created_at, 10) == []


async def test_no_more_jobs_than_allowed_are_open(store: JobStore, submission: Submit) -> None:
    jobs = [await store.submit(replace(submission(request_id=str(n)), max_open=2)) for n in range(2)]
    with pytest.raises(SomaError) as refused:
        await store.submit(replace(submission(request_id="2"), max_open=2))
    assert refused.value.reason is Reason.RATE_LIMITED
    again = await store.submit(replace(submission(request_id="1"), max_open=2))
    assert again.job_id == jobs[1].job_id
    assert await store.submit(replace(submission(tenant="tenant-b"), max_open=2))
    async with store.transaction("tenant-a", jobs[0].job_id) as transaction:
        await transaction.save_job(replace(transaction.job, state=JobState.FAILED))
    assert await store.submit(replace(submission(request_id="2"), max_open=2))


async def test_a_transaction_on_a_job_sees_how_many_jobs_of_its_tenant_are_open(
    store: JobStore, submission: Submit
) -> None:
    waiting, runs, ended = [await store.submit(submission()) for _ in range(3)]
    await store.submit(submission(tenant="tenant-b"))
    for job, state in ((runs, JobState.RUNNING), (ended, JobState.FAILED)):
        async with store.transaction("tenant-a", job.job_id) as transaction:
            await transaction.save_job(replace(transaction.job, state=state))
    async with store.transaction("tenant-a", ended.job_id) as transaction:
        assert [await transaction.has_open(count) for count in (1, 2, 3)] == [True, True, False]
    async with store.transaction("tenant-a", waiting.job_id) as transaction:
        assert await transaction.has_open(2)


async def test_facts_of_committed_transactions_are_accepted(store: JobStore, submission: Submit) -> None:
    job = await store.submit(submission())
    async with store.transaction("tenant-a", job.job_id) as transaction:
        await transaction.publish(JobFact(transaction.job, await transaction.step_summaries()))
        await transaction.publish(ExecutionFact(an_execution(job), "user-1"))
