"""Jobs of one tenant run so many at once; the others wait for their turn."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from mesh.errors import Reason, SomaError
from mesh.idempotency import RequestKey
from mesh.ids import SystemIds
from svc_executor.app.control import ControlRequest
from svc_executor.app.starting import JobLimits, StartPendingJobs
from svc_executor.app.submit import SubmitJob, SubmitRequest
from svc_executor.domain.job import CallerIdentity, JobState
from svc_executor.domain.run import CloseRunInput, JobRun
from tests.unit.executor.rig import OWNER, IdleRunner, Rig, compiler, plan, task

if TYPE_CHECKING:
    from svc_executor.domain.job import Job


class DownRunner(IdleRunner):
    """Refuses to start anything until it is up."""

    up = False

    async def start(self, job_run: JobRun) -> None:
        if not self.up:
            raise SomaError(Reason.DEPENDENCY_UNAVAILABLE, "away")
        await super().start(job_run)


def order_of(job: Job) -> JobRun:
    return JobRun(job.tenant_id, job.job_id, job.run)


async def submitted(rig: Rig, count: int, tenant: str = "tenant-a") -> list[JobRun]:
    submit = SubmitJob(rig.store, rig.starting, compiler(), rig.recorder, clock=rig.clock, ids=SystemIds())
    owner = CallerIdentity(tenant, "someone")
    return [order_of(await submit(SubmitRequest(owner, plan(task("a"))))) for _ in range(count)]


async def close(rig: Rig, job_run: JobRun) -> None:
    await rig.use_cases().close_run(CloseRunInput(job_run, JobState.COMPLETED.value, ""))


async def test_no_more_jobs_of_a_tenant_start_than_may_run() -> None:
    rig = Rig(job_limits=JobLimits(running=2))
    jobs = await submitted(rig, 4)
    others = await submitted(rig, 1, "tenant-b")
    assert rig.started == [*jobs[:2], *others]


async def test_fewer_jobs_of_a_tenant_start_while_its_use_of_the_processor_is_heavy() -> None:
    rig = Rig(job_limits=JobLimits(running=3, heavy_running=1), heavy={"tenant-a"})
    jobs, others = await submitted(rig, 3), await submitted(rig, 3, "tenant-b")
    assert rig.started == [jobs[0], *others]
    rig.heavy.clear()
    for job_run in [jobs[0], *others]:
        await rig.use_cases().open_run(job_run)
    await close(rig, jobs[0])
    assert rig.started == [jobs[0], *others, *jobs[1:]]


async def test_the_oldest_waiting_job_starts_when_one_has_ended() -> None:
    rig = Rig(job_limits=JobLimits(running=2))
    jobs = await submitted(rig, 4)
    for job_run in jobs[:2]:
        await rig.use_cases().open_run(job_run)
    await close(rig, jobs[1])
    assert rig.started == jobs[:3]


async def test_a_start_that_failed_is_made_up_for() -> None:
    runner = DownRunner()
    rig = Rig(job_limits=JobLimits(running=1), runner=runner)
    jobs = await submitted(rig, 2)
    sweep = StartPendingJobs(rig.store, rig.starting)
    later = rig.clock.now() + timedelta(seconds=1)
    runner.up = True
    assert await sweep(later) == 1
    await rig.use_cases().open_run(jobs[0])
    runner.up = False
    await close(rig, jobs[0])
    assert rig.started == jobs[:1]
    runner.up = True
    assert await sweep(later) == 1
    assert rig.started == jobs


async def test_many_waiting_jobs_of_one_tenant_do_not_keep_the_sweep_from_another() -> None:
    runner = DownRunner()
    rig = Rig(job_limits=JobLimits(running=1), runner=runner)
    greedy = await submitted(rig, 20, "greedy")
    innocent = await submitted(rig, 1, "innocent")
    runner.up = True
    sweep = StartPendingJobs(rig.store, rig.starting)
    later = rig.clock.now() + timedelta(seconds=1)
    await sweep(later, 1)
    await sweep(later, 1)
    assert rig.started == [greedy[0], innocent[0]]


class RefusingRunner(IdleRunner):
    """Cannot start the jobs of one tenant."""

    async def start(self, job_run: JobRun) -> None:
        if job_run.tenant_id == "a-refused":
            raise SomaError(Reason.DEPENDENCY_UNAVAILABLE, "away")
        await super().start(job_run)


async def test_a_tenant_whose_jobs_cannot_start_does_not_keep_the_sweep_from_another() -> None:
    runner = DownRunner()
    rig = Rig(runner=runner)
    await submitted(rig, 1, "a-refused")
    innocent = await submitted(rig, 1, "innocent")
    rig.runner = RefusingRunner()
    sweep = StartPendingJobs(rig.store, rig.starting)
    later = rig.clock.now() + timedelta(seconds=1)
    for _ in range(2):
        with suppress(SomaError):
            await sweep(later)
    assert rig.started == innocent


async def test_resumed_jobs_wait_while_as_many_run_as_may() -> None:
    rig = Rig(job_limits=JobLimits(running=2))
    failed = await submitted(rig, 2)
    for job_run in failed:
        await rig.use_cases().open_run(job_run)
        await rig.use_cases().close_run(CloseRunInput(job_run, JobState.FAILED.value, "no"))
    running = await submitted(rig, 2)
    for job_run in running:
        await rig.use_cases().open_run(job_run)
    rig.started.clear()
    for job_run in reversed(failed):
        await rig.resume(ControlRequest(OWNER, job_run.job_id))
    assert rig.started == []
    await close(rig, running[0])
    assert rig.started == [JobRun("tenant-a", failed[0].job_id, 2)]


async def test_more_open_jobs_than_allowed_are_refused_for_that_tenant_alone() -> None:
    rig = Rig(job_limits=JobLimits(running=1, open=3))
    await submitted(rig, 3)
    with pytest.raises(SomaError, match="3 jobs that have not ended") as refused:
        await submitted(rig, 1)
    assert refused.value.reason is Reason.RATE_LIMITED
    await submitted(rig, 3, "tenant-b")


async def test_a_job_is_not_resumed_while_as_many_are_open_as_may_be() -> None:
    rig = Rig(job_limits=JobLimits(running=1, open=2))
    (failed,) = await submitted(rig, 1)
    await rig.use_cases().open_run(failed)
    await rig.use_cases().close_run(CloseRunInput(failed, JobState.FAILED.value, "no"))
    first, _ = await submitted(rig, 2)
    again = ControlRequest(OWNER, failed.job_id, RequestKey.for_request("again"))
    with pytest.raises(SomaError, match="2 jobs that have not ended") as refused:
        await rig.resume(again)
    assert refused.value.reason is Reason.RATE_LIMITED
    assert (await rig.store.job(failed.tenant_id, failed.job_id)).state is JobState.FAILED
    await rig.use_cases().open_run(first)
    await close(rig, first)
    assert (await rig.resume(again)).state is JobState.PENDING
