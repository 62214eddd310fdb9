"""A job is resumed so many times: each run adds attempts and entries of the timeline."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mesh.errors import Reason, SomaError
from mesh.idempotency import RequestKey
from svc_executor.app.control import ControlRequest, ResumeJob
from svc_executor.domain.job import JobState, StepState
from svc_executor.domain.run import CloseRunInput, JobRun
from svc_executor.settings import ExecutorSettings
from tests.unit.executor.rig import OWNER, IdleRunner, down, task
from tests.unit.executor.test_run_steps import TENANT, Run

if TYPE_CHECKING:
    from svc_executor.domain.job import Job


async def fail(run: Run) -> None:
    await run.steps.close_run(CloseRunInput(run.job_run, JobState.FAILED.value, "no"))


async def resume(run: Run, request_id: str = "", **limit: int) -> Job:
    rig = run.rig
    resume_job = ResumeJob(rig.store, rig.runner, rig.assets, rig.recorder, rig.starting, **limit)
    return await resume_job(ControlRequest(OWNER, run.job_run.job_id, RequestKey.for_request(request_id)))


async def failed_again(times: int) -> Run:
    """A job that failed, was resumed so many times and failed each time."""
    run = await Run.of(task("a"))
    run.rig.catalogue.providers["mermaid"].script = down
    await fail(run)
    for number in range(times):
        job = await resume(run)
        assert job.run == number + 2
        run.job_run = JobRun(TENANT, job.job_id, job.run)
        (step,) = (await run.steps.open_run(run.job_run)).steps
        await run.steps.select(run.select("a", step.next_attempt))
        await run.steps.attempt(run.attempt("a", step.next_attempt))
        await fail(run)
    return run


@pytest.mark.parametrize("request_id", ["", "r-1"])
async def test_a_job_that_was_resumed_as_often_as_it_may_is_refused_and_left_as_it_is(request_id: str) -> None:
    run = await failed_again(10)
    before, facts, started = await run.describe(), len(run.rig.facts), len(run.rig.started)
    for _ in range(2):
        with pytest.raises(SomaError, match=r"was resumed 10 times.*submit its plan anew") as refused:
            await resume(run, request_id)
        assert refused.value.reason is Reason.FAILED_PRECONDITION
        (way_out,) = refused.value.preconditions
        assert (way_out.type, way_out.subject) == ("JOB_RESUMES", run.job_run.job_id)
        assert way_out.description == "submit its plan anew"
    assert (await run.describe(), len(run.rig.facts), len(run.rig.started)) == (before, facts, started)
    assert [execution.attempt for execution in before.executions] == list(range(1, 11))


async def test_a_job_is_resumed_up_to_the_limit_and_ends_well() -> None:
    run = await failed_again(1)
    with pytest.raises(SomaError, match="was resumed 1 times"):
        await resume(run, max_resumes=1)
    job = await resume(run, max_resumes=2)
    run.job_run = JobRun(TENANT, job.job_id, job.run)
    del run.rig.catalogue.providers["mermaid"]
    await run.steps.open_run(run.job_run)
    await run.steps.select(run.select("a", 2, exclude=["mermaid@local"]))
    assert (await run.steps.attempt(run.attempt("a", 2))).succeeded
    assert (await run.describe()).steps[0].state is StepState.SUCCEEDED


async def test_the_same_request_for_the_last_resume_gives_its_run_again() -> None:
    run = await failed_again(9)
    assert (await resume(run, "r-1")).run == 11
    assert (await resume(run, "r-1")).run == 11


async def test_a_lost_run_counts_as_well() -> None:
    run = await Run.of(task("a"))
    assert isinstance(run.rig.runner, IdleRunner)
    run.rig.runner.lost.add(run.job_run)
    job = await resume(run, max_resumes=1)
    run.job_run = JobRun(TENANT, job.job_id, job.run)
    await run.steps.open_run(run.job_run)
    run.rig.runner.lost.add(run.job_run)
    with pytest.raises(SomaError, match="was resumed 1 times"):
        await resume(run, max_resumes=1)


def test_the_limit_is_a_setting() -> None:
    assert ExecutorSettings().max_resumes == 10
