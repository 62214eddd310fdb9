"""What is looked after in the background: lost runs, compensations that failed, kept results."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from mesh import context
from mesh.errors import Reason, SomaError
from mesh.idempotency import RequestKey
from mesh.testing import FakeClock
from svc_executor.app.control import CancelJob, ControlRequest
from svc_executor.app.sweeps import RUN_LOST, CloseLostRuns, EraseOrphanedOutcomes, RetryCompensations
from svc_executor.domain.job import JobState
from svc_executor.domain.run import CloseRunInput, JobRun
from svc_executor.workflows.use_cases import shared_components
from tests.in_memory.executor.peers import LocalTokens
from tests.unit.executor.rig import OWNER, IdleRunner, Rig, task
from tests.unit.executor.test_paid_once import away, priced, selected_run
from tests.unit.executor.test_run_steps import Run

if TYPE_CHECKING:
    from mesh.context import Caller


def runner(rig: Rig) -> IdleRunner:
    assert isinstance(rig.runner, IdleRunner)
    return rig.runner


async def lost_run() -> Run:
    """A RUNNING job whose workflow is gone."""
    run = await Run.of(task("a"))
    runner(run.rig).lost.add(run.job_run)
    return run


async def not_undone(monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run that failed while the asset store was away, so that its asset is still held."""
    run = await Run.of(task("a"), rig=Rig(clock=FakeClock()))
    await run.steps.select(run.select("a"))
    await run.steps.attempt(run.attempt("a"))
    with monkeypatch.context() as patch:
        patch.setattr(run.rig.assets, "release", away)
        await run.steps.close_run(CloseRunInput(run.job_run, JobState.FAILED.value, "no", last_try=True))
    return run


def retry(run: Run, wait_s: float = 60.0) -> RetryCompensations:
    rig = run.rig
    compensator = shared_components(rig.ports()).compensator
    return RetryCompensations(rig.store, compensator, LocalTokens(), rig.meter, rig.clock, wait_s=wait_s)


async def pass_time(run: Run, seconds: float = 61.0) -> None:
    assert isinstance(run.rig.clock, FakeClock)
    await run.rig.clock.advance(seconds)


async def test_a_running_job_without_a_workflow_is_closed_and_counted() -> None:
    run = await lost_run()
    rig = run.rig
    assert await CloseLostRuns(rig.store, rig.runner, rig.meter)() == 1
    assert runner(rig).closed == [(run.job_run, RUN_LOST)]
    assert "lost run" in rig.meter.entries


async def test_a_job_that_runs_is_left_alone() -> None:
    run = await Run.of(task("a"))
    assert await CloseLostRuns(run.rig.store, run.rig.runner, run.rig.meter)() == 0
    assert runner(run.rig).closed == []


async def test_all_running_jobs_are_looked_at_in_turn() -> None:
    rig = Rig()
    runs = [await Run.of(task("a"), rig=rig) for _ in range(3)]
    runner(rig).lost.update(run.job_run for run in runs)
    sweep = CloseLostRuns(rig.store, rig.runner, rig.meter)
    assert [await sweep(2), await sweep(2), await sweep(2)] == [2, 1, 2]


async def test_a_lost_run_can_be_resumed_and_says_so() -> None:
    run = await lost_run()
    rig = run.rig
    resume = rig.resume
    job = await resume(ControlRequest(OWNER, run.job_run.job_id))
    assert (job.state, job.run) == (JobState.PENDING, 2)
    assert (await run.describe()).events[-1].message.startswith("its run was lost, and the job runs again")


async def test_a_job_that_runs_cannot_be_resumed() -> None:
    run = await Run.of(task("a"))
    resume = run.rig.resume
    with pytest.raises(SomaError) as caught:
        await resume(ControlRequest(OWNER, run.job_run.job_id))
    assert caught.value.reason is Reason.FAILED_PRECONDITION
    assert [item.description for item in caught.value.preconditions] == ["wait until it has ended"]


async def test_a_cancelled_job_cannot_be_resumed_and_is_not_waited_for() -> None:
    run = await Run.of(task("a"))
    await run.steps.close_run(CloseRunInput(run.job_run, JobState.CANCELLED.value, "enough"))
    with pytest.raises(SomaError) as caught:
        await run.rig.resume(ControlRequest(OWNER, run.job_run.job_id))
    assert [item.description for item in caught.value.preconditions] == ["submit its plan anew"]


async def test_what_could_not_be_undone_is_undone_later(monkeypatch: pytest.MonkeyPatch) -> None:
    run = await not_undone(monkeypatch)
    assert len(run.rig.assets.stored) == 1
    await pass_time(run)
    assert await retry(run)() == 1
    assert run.rig.assets.stored == {}
    assert [entry.done for entry in (await run.describe()).compensations] == [True]
    assert run.rig.meter.entries[-1] == "open compensations 0"


async def test_an_undoing_is_tried_again_only_after_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    run = await not_undone(monkeypatch)
    await pass_time(run)
    with monkeypatch.context() as patch:
        patch.setattr(run.rig.assets, "release", away)
        assert await retry(run)() == 0
        assert run.rig.meter.entries[-1] == "open compensations 1"
    assert await retry(run)() == 0
    await pass_time(run)
    assert await retry(run)() == 1


async def test_undoings_are_done_by_the_executor_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    run = await not_undone(monkeypatch)
    callers: list[Caller] = []

    async def note(*_: object) -> None:
        callers.append(context.caller())

    monkeypatch.setattr(run.rig.assets, "release", note)
    await pass_time(run)
    await retry(run)()
    (caller,) = callers
    assert (caller.tenant_id, caller.subject, caller.key_id) == (OWNER.tenant_id, "spiffe://soma/executor", "")
    assert set(caller.scopes) == {"asset.read", "asset.delete", "budget.settle"}


async def test_a_resumed_job_keeps_what_its_last_run_could_not_undo(monkeypatch: pytest.MonkeyPatch) -> None:
    run = await not_undone(monkeypatch)
    rig = run.rig
    await rig.resume(ControlRequest(OWNER, run.job_run.job_id))
    await pass_time(run)
    assert await retry(run)() == 0
    assert len(rig.assets.stored) == 1


async def test_a_resumed_job_leaves_no_reservation_of_its_last_run_open(monkeypatch: pytest.MonkeyPatch) -> None:
    run = await selected_run(priced(FakeClock()))
    rig = run.rig
    with monkeypatch.context() as patch:
        patch.setattr(rig.selector, "release", away)
        await run.steps.close_run(CloseRunInput(run.job_run, JobState.FAILED.value, "no", last_try=True))
    job = await rig.resume(ControlRequest(OWNER, run.job_run.job_id))
    await retry(run)()
    assert rig.meter.entries[-1] == "open compensations 0"
    assert rig.selector.reserved
    again = Run(rig, JobRun(job.tenant_id, job.job_id, job.run))
    await again.steps.close_run(CloseRunInput(again.job_run, JobState.COMPLETED.value, ""))
    assert rig.selector.reserved == {}
    assert {entry.done for entry in (await run.describe()).compensations} == {True}


async def test_a_kept_result_that_was_not_erased_is_erased_later(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    run = await selected_run(priced(clock))
    with monkeypatch.context() as patch:
        patch.setattr(run.rig.outcomes, "delete", away)
        assert (await run.steps.attempt(run.attempt("a"))).succeeded
    assert len(run.rig.outcomes.stored_outcomes) == 1
    sweep = EraseOrphanedOutcomes(run.rig.store, shared_components(run.rig.ports()).calls, clock, after_s=60.0)
    assert await sweep() == 0
    await clock.advance(timedelta(minutes=2).total_seconds())
    assert await sweep() == 1
    assert (run.rig.outcomes.stored_outcomes, await sweep()) == ({}, 0)


async def test_a_job_acts_for_whoever_resumed_it(monkeypatch: pytest.MonkeyPatch) -> None:
    run = await not_undone(monkeypatch)
    rig = run.rig
    other = type(OWNER)(OWNER.tenant_id, "user-2", ("member",), (), "key-2")
    job = await rig.resume(ControlRequest(other, run.job_run.job_id))
    assert (job.runs_as, job.owner) == (other, OWNER)


async def test_a_repeated_resume_with_the_same_request_id_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    run = await not_undone(monkeypatch)
    resume = run.rig.resume
    request = ControlRequest(OWNER, run.job_run.job_id, RequestKey.for_request("r-1"))
    first = await resume(request)
    assert await resume(request) == first
    assert first.run == 2


async def test_a_request_id_of_another_request_is_refused() -> None:
    rig = Rig()
    runs = [await Run.of(task("a"), rig=rig) for _ in range(2)]
    cancel = CancelJob(rig.store, rig.runner)
    await cancel(ControlRequest(OWNER, runs[0].job_run.job_id, RequestKey.for_request("r-1", b"one")))
    with pytest.raises(SomaError) as caught:
        await cancel(ControlRequest(OWNER, runs[1].job_run.job_id, RequestKey.for_request("r-1", b"another")))
    assert caught.value.reason is Reason.IDEMPOTENCY_MISMATCH
