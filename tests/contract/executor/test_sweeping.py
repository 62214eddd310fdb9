"""What sweeps ask of a store of jobs: bounded reads of what is still open, of all tenants."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from mesh.errors import Reason, SomaError
from mesh.idempotency import RequestKey
from mesh.stores.postgres import SYSTEM
from soma.events.v1 import facts_pb2
from svc_executor.adapters.postgres import PostgresJobs
from svc_executor.domain.job import ExecutionStatus, JobState
from svc_executor.domain.provider_call import ProviderCall
from svc_executor.domain.run import JobRun
from svc_executor.domain.timeline import Compensation, CompensationKind, ExecutionFact, JobFact, StepFact
from tests.contract.executor.conftest import START
from tests.contract.executor.test_job_store import an_execution
from tests.in_memory.executor.jobs import MemoryJobs

if TYPE_CHECKING:
    from svc_executor.app.ports import JobStore
    from svc_executor.domain.job import Job
    from tests.contract.executor.conftest import Submit

LATER = START + timedelta(hours=1)


def a_call(job: Job, execution_id: str) -> ProviderCall:
    return ProviderCall(execution_id, job.job_id, job.tenant_id, "key", START, START + timedelta(seconds=9))


def a_compensation(job: Job, position: int = 0, **fields: object) -> Compensation:
    return replace(
        Compensation(job.job_id, 1, position, CompensationKind.ASSET, f"asset-{position}", "b", "", START),
        **fields,  # type: ignore[arg-type]
    )


async def in_state(store: JobStore, job: Job, state: JobState) -> None:
    async with store.transaction(job.tenant_id, job.job_id) as transaction:
        await transaction.save_job(replace(transaction.job, state=state, ended_at=START if state.ended else None))


async def test_a_call_reads_back_equal_until_it_is_removed(store: JobStore, submission: Submit) -> None:
    job = await store.submit(submission())
    call = a_call(job, an_execution(job).execution_id)
    async with store.transaction("tenant-a", job.job_id) as transaction:
        await transaction.save_call(call)
        await transaction.save_call(replace(call, ends_at=LATER))
        assert await transaction.call(call.execution_id) == replace(call, ends_at=LATER)
        assert await transaction.calls() == [replace(call, ends_at=LATER)]
    assert await store.calls("tenant-a", job.job_id) == [replace(call, ends_at=LATER)]
    async with store.transaction("tenant-a", job.job_id) as transaction:
        await transaction.remove_call(call.execution_id)
        await transaction.remove_call(call.execution_id)
        assert await transaction.call(call.execution_id) is None


async def test_only_calls_of_attempts_that_ended_are_left_behind(store: JobStore, submission: Submit) -> None:
    job = await store.submit(submission())
    running = an_execution(job)
    async with store.transaction("tenant-a", job.job_id) as transaction:
        await transaction.save_execution(running)
        await transaction.save_call(a_call(job, running.execution_id))
    assert await store.orphaned_calls(LATER, 10) == []
    async with store.transaction("tenant-a", job.job_id) as transaction:
        await transaction.save_execution(replace(running, status=ExecutionStatus.FAILED, ended_at=START))
    assert await store.orphaned_calls(START, 10) == []
    (left,) = await store.orphaned_calls(LATER, 10)
    assert left == a_call(job, running.execution_id)
    await store.delete_call(left)
    assert await store.orphaned_calls(LATER, 10) == []


async def test_running_jobs_are_read_in_portions(store: JobStore, submission: Submit) -> None:
    jobs = [await store.submit(submission(tenant=tenant)) for tenant in ("tenant-a", "tenant-b", "tenant-a")]
    for job in jobs[:2]:
        await in_state(store, job, JobState.RUNNING)
    first = await store.running("", 1)
    assert first == [JobRun("tenant-a", jobs[0].job_id, 1)]
    assert await store.running(first[0].job_id, 5) == [JobRun("tenant-b", jobs[1].job_id, 1)]


async def test_an_undoing_of_an_ended_run_is_claimed_once_at_a_time(store: JobStore, submission: Submit) -> None:
    job = await store.submit(submission())
    async with store.transaction("tenant-a", job.job_id) as transaction:
        await transaction.save_compensation(a_compensation(job, 0, message="away"))
        await transaction.save_compensation(a_compensation(job, 1, done=True))
    assert await store.claim_compensations(LATER, LATER, 10) == []
    await in_state(store, job, JobState.FAILED)
    (claimed,) = await store.claim_compensations(LATER, LATER, 10)
    assert (claimed.target_id, claimed.tenant_id, claimed.updated_at) == ("asset-0", "tenant-a", LATER)
    assert await store.claim_compensations(LATER, LATER, 10) == []
    assert await store.open_compensations(10) == 1


async def test_undoings_of_a_run_that_was_resumed_are_left_alone(store: JobStore, submission: Submit) -> None:
    job = await store.submit(submission())
    async with store.transaction("tenant-a", job.job_id) as transaction:
        await transaction.save_compensation(a_compensation(job))
        await transaction.save_job(replace(transaction.job, state=JobState.FAILED, run=2, ended_at=START))
    assert await store.claim_compensations(LATER, LATER, 10) == []


async def test_a_request_is_new_once(store: JobStore, submission: Submit) -> None:
    one, other = await store.submit(submission()), await store.submit(submission(tenant="tenant-b"))
    answers = []
    for job in (one, one, other):
        async with store.transaction(job.tenant_id, job.job_id) as transaction:
            answers.append(await transaction.record_request(RequestKey.for_request("r-1", b"one")))
    assert answers == [True, False, True]
    async with store.transaction("tenant-a", one.job_id) as transaction:
        with pytest.raises(SomaError) as caught:
            await transaction.record_request(RequestKey.for_request("r-1", b"another"))
    assert caught.value.reason is Reason.IDEMPOTENCY_MISMATCH


async def test_a_request_of_a_transaction_that_failed_is_still_new(store: JobStore, submission: Submit) -> None:
    job = await store.submit(submission())

    async def fail() -> None:
        async with store.transaction("tenant-a", job.job_id) as transaction:
            await transaction.record_request(RequestKey.for_request("r-1", b"one"))
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        await fail()
    async with store.transaction("tenant-a", job.job_id) as transaction:
        assert await transaction.record_request(RequestKey.for_request("r-1", b"one"))


async def test_who_resumed_a_job_reads_back_equal(store: JobStore, submission: Submit) -> None:
    job = await store.submit(submission())
    again = replace(job, resumed_by=replace(job.owner, subject="user-2", key_id="key-2"))
    async with store.transaction("tenant-a", job.job_id) as transaction:
        await transaction.save_job(again)
    found = await store.job("tenant-a", job.job_id)
    assert (found.runs_as, found.owner) == (again.resumed_by, job.owner)


async def test_facts_of_a_job_are_numbered_in_the_order_of_their_commits(store: JobStore, submission: Submit) -> None:
    job = await store.submit(submission())
    for _ in range(2):
        async with store.transaction("tenant-a", job.job_id) as transaction:
            await transaction.publish(JobFact(transaction.job, await transaction.step_summaries()))
            await transaction.publish(StepFact(await transaction.step("b")))
            await transaction.publish(ExecutionFact(an_execution(job), "user-1"))
    assert await numbers(store) == [1, 2, 3, 4, 5, 6]


async def numbers(store: JobStore) -> list[int]:
    """Sequences of the facts that were published, in their order."""
    if isinstance(store, MemoryJobs):
        return [fact.sequence for fact in store.facts]
    assert isinstance(store, PostgresJobs)
    async with store._postgres.transaction(SYSTEM) as connection:
        rows = await connection.fetch("SELECT * FROM outbox ORDER BY id")
    found = []
    for row in rows:
        name = row["type"].rpartition(".")[2]
        if name in {"JobChanged", "StepChanged", "ExecutionFinished"}:
            found.append(getattr(facts_pb2, name).FromString(bytes(row["payload"])).sequence)
    return found
