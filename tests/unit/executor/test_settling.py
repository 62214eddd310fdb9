"""The cost of an attempt is the selector's answer: recorded and told once, whenever the selector is there again."""

from __future__ import annotations

from dataclasses import replace
from typing import Never

import pytest

from mesh.errors import SomaError
from soma_providers.port import Usage
from svc_executor.app.compensate import Compensator
from svc_executor.domain.job import Execution, ExecutionStatus, JobState, StepState
from svc_executor.domain.peers import Evaluation
from svc_executor.domain.run import CloseRunInput
from svc_executor.domain.timeline import ExecutionFact, JobFact, StepFact
from svc_executor.domain.usage import NO_USAGE, clamp_usage
from tests.unit.executor.rig import task
from tests.unit.executor.test_paid_once import PRICE, Killed, away, drawn, priced, selected_run
from tests.unit.executor.test_run_steps import TENANT, Run


def closing(run: Run, state: JobState = JobState.FAILED, *, last_try: bool = False) -> CloseRunInput:
    return CloseRunInput(run.job_run, state.value, "enough", last_try=last_try)


def told(run: Run) -> list[int]:
    """The costs of the attempts that others were told of."""
    return [fact.execution.cost_micro_usd for fact in run.rig.facts if isinstance(fact, ExecutionFact)]


def costs_of_steps(run: Run) -> list[int]:
    """The cost of the step in each event of it."""
    return [fact.step.cost_micro_usd for fact in run.rig.facts if isinstance(fact, StepFact)]


async def recorded(run: Run) -> Execution:
    (execution,) = (await run.describe()).executions
    return execution


async def unsettled_run(monkeypatch: pytest.MonkeyPatch, run: Run | None = None) -> Run:
    """A run whose paid attempt is recorded while the selector is away."""
    run = run or await selected_run(priced())
    with monkeypatch.context() as patch:
        patch.setattr(run.rig.selector, "settle", away)
        with pytest.raises(SomaError):
            await run.steps.attempt(run.attempt("a"))
    return run


async def spent(run: Run) -> int:
    async with run.rig.store.transaction(TENANT, run.job_run.job_id) as transaction:
        return await transaction.committed_micro_usd()


async def test_an_attempt_whose_cost_is_not_known_is_recorded_with_its_units_and_told_to_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = await unsettled_run(monkeypatch)
    execution = await recorded(run)
    assert (execution.usage, execution.settled, execution.cost_known) == (Usage(images=1), False, False)
    assert (await run.describe()).steps[0].state is StepState.SUCCEEDED
    assert told(run) == []


async def test_an_executor_that_takes_every_cost_for_known_tells_a_wrong_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted bug that the tests here must find."""
    monkeypatch.setattr(Execution, "cost_known", True)
    run = await unsettled_run(monkeypatch)
    await run.steps.attempt(run.attempt("a"))
    assert (told(run), (await run.describe()).job.cost_micro_usd) == ([0], 0)


async def test_until_a_cost_is_known_what_was_reserved_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    run = await selected_run(priced())
    run.rig.catalogue.providers["painter"].script = lambda call: replace(drawn(call), usage=Usage(images=0))
    await unsettled_run(monkeypatch, run)
    assert await spent(run) == PRICE
    await run.steps.attempt(run.attempt("a"))
    assert await spent(run) == 0


async def test_a_cost_is_counted_and_told_once_when_the_selector_is_there_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = await unsettled_run(monkeypatch)
    for _ in range(2):
        assert (await run.steps.attempt(run.attempt("a"))).succeeded
    description = await run.describe()
    assert (description.executions[0].cost_micro_usd, description.job.cost_micro_usd) == (PRICE, PRICE)
    assert told(run) == [PRICE]
    assert run.rig.meter.entries.count(f"cost painter@remote {PRICE}") == 1


async def test_a_worker_that_is_killed_between_settling_and_recording_books_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = await selected_run(priced())

    async def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(run.steps.attempt, "_record", killed)
        with pytest.raises(Killed):
            await run.steps.attempt(run.attempt("a"))
    assert list(run.rig.selector.settled.values()) == [PRICE]
    assert (await run.steps.attempt(run.attempt("a"))).succeeded
    assert ((await run.describe()).job.cost_micro_usd, told(run)) == (PRICE, [PRICE])


@pytest.mark.parametrize("state", [JobState.COMPLETED, JobState.FAILED])
async def test_whoever_closes_the_run_settles_and_tells_it(monkeypatch: pytest.MonkeyPatch, state: JobState) -> None:
    run = await unsettled_run(monkeypatch)
    for _ in range(2):
        await run.steps.close_run(closing(run, state))
    assert told(run) == [PRICE]
    assert (await run.describe()).job.cost_micro_usd == PRICE


async def test_a_cost_that_is_known_after_the_end_of_the_job_is_told_with_the_job(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = await unsettled_run(monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr(run.rig.selector, "settle", away)
        await run.steps.close_run(closing(run, last_try=True))
    assert told(run) == []
    description = await run.describe()
    assert (description.job.state, description.job.cost_micro_usd) == (JobState.FAILED, 0)
    (open_,) = [each for each in description.compensations if not each.done]
    rig = run.rig
    compensator = Compensator(rig.store, rig.assets, rig.selector, rig.recorder, meter=rig.meter, clock=rig.clock)
    for _ in range(2):
        await compensator(description.job, open_)
    assert told(run) == [PRICE]
    last = next(fact for fact in reversed(run.rig.facts) if isinstance(fact, JobFact))
    assert (last.job.state, last.job.cost_micro_usd, len(last.steps)) == (JobState.FAILED, PRICE, 0)
    assert costs_of_steps(run)[-1] == PRICE


async def test_the_last_event_of_a_step_has_its_cost_when_the_job_is_cancelled_within_a_paid_call() -> None:
    run = await selected_run(priced())

    def killed(*_: object) -> Never:
        raise Killed

    run.rig.catalogue.providers["painter"].script = killed
    with pytest.raises(Killed):
        await run.steps.attempt(run.attempt("a"))
    await run.steps.close_run(closing(run, JobState.CANCELLED))
    (step,) = (await run.describe()).steps
    assert (step.cost_micro_usd, costs_of_steps(run)[-1]) == (PRICE, PRICE)


async def test_the_next_run_settles_what_the_one_before_left(monkeypatch: pytest.MonkeyPatch) -> None:
    run = await unsettled_run(monkeypatch)
    await run.steps.close_run(closing(run, JobState.COMPLETED))
    assert (await recorded(run)).settled


async def test_an_attempt_that_is_to_be_judged_is_told_with_its_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    run = await Run.of(task("a", "generate_image", quality_gate={"enabled": True}), rig=priced())
    run.rig.critic._rule = lambda _: Evaluation("e", passes=False, score=0.1)
    await run.steps.select(run.select("a"))
    await unsettled_run(monkeypatch, run)
    await run.steps.attempt(run.attempt("a"))
    assert told(run) == []
    assert not (await run.steps.evaluate(run.attempt("a"))).passes
    assert told(run) == [PRICE]


async def test_an_attempt_of_an_earlier_version_keeps_the_cost_that_it_recorded() -> None:
    run = await selected_run(priced())
    await _end_as_before(run, 7)
    await run.steps.close_run(closing(run))
    assert (await recorded(run)).cost_micro_usd == 7
    assert list(run.rig.selector.settled.values()) == [PRICE], "its units are not known"
    assert (await run.describe()).job.cost_micro_usd == 0, "it was counted when its end was recorded"


async def test_a_free_end_of_an_earlier_version_gives_its_reservation_back() -> None:
    run = await selected_run(priced())
    await _end_as_before(run, 0)
    await run.steps.close_run(closing(run))
    assert (run.rig.selector.settled, len(run.rig.selector.released)) == ({}, 1)


async def _end_as_before(run: Run, cost_micro_usd: int) -> None:
    """Record the end of the attempt as a version did that computed costs itself."""
    async with run.rig.store.transaction(TENANT, run.job_run.job_id) as transaction:
        execution = await transaction.execution("a", 1)
        assert execution is not None
        await transaction.save_execution(
            replace(execution, status=ExecutionStatus.FAILED, cost_micro_usd=cost_micro_usd)
        )


async def test_units_that_a_provider_makes_up_are_bounded() -> None:
    assert clamp_usage(Usage(calls=-1, images=10**9, seconds=float("nan"), input_tokens=10**30)) == Usage(
        calls=0, images=10**6, seconds=0.0, input_tokens=10**9
    )
    assert clamp_usage(NO_USAGE) == NO_USAGE
