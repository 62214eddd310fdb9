"""An attempt whose result comes after its end gives up what it stored, and nothing that another attempt has."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from soma_providers.port import Artefact, InvocationResult
from svc_executor.app.control import ControlRequest
from svc_executor.domain.job import JobState, StepState
from svc_executor.domain.run import CloseRunInput, JobRun
from tests.unit.executor.rig import OWNER, Rig, task
from tests.unit.executor.test_run_steps import TENANT, Run

if TYPE_CHECKING:
    from soma_providers.port import Invocation
    from svc_executor.domain.run import AttemptResult

SAME = InvocationResult((Artefact(b"same", "image/png", "p.png", "diagram"),))


class LateProvider:
    """Answers with the same picture as everybody, once it may."""

    provider = "local"

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._others = rig.catalogue.providers["mermaid"]
        self._others.script = lambda _: SAME
        self.called, self.may_answer = asyncio.Event(), asyncio.Event()
        rig.catalogue.providers["mermaid"] = self  # type: ignore[assignment]

    async def invoke(self, _: Invocation) -> InvocationResult:
        """Wait; who calls meanwhile is answered at once."""
        self._rig.catalogue.providers["mermaid"] = self._others
        self.called.set()
        await self.may_answer.wait()
        return SAME


async def late_attempt(run: Run) -> tuple[LateProvider, asyncio.Task[AttemptResult]]:
    """The first attempt of step a, which waits for its provider."""
    await run.steps.select(run.select("a"))
    provider = LateProvider(run.rig)
    late = asyncio.create_task(run.steps.attempt(run.attempt("a")))
    await provider.called.wait()
    return provider, late


async def resumed(run: Run) -> Run:
    """The job in its second run, whose attempt of step a is chosen, after the first was closed as failed."""
    await run.steps.close_run(CloseRunInput(run.job_run, JobState.FAILED.value, "no"))
    job = await run.rig.resume(ControlRequest(OWNER, run.job_run.job_id))
    again = Run(run.rig, JobRun(TENANT, job.job_id, job.run))
    await again.steps.open_run(again.job_run)
    await again.steps.select(again.select("a", 2))
    return again


async def held(run: Run) -> list[str]:
    return await run.rig.assets.list_held(run.job_run.job_id)


async def test_a_resumed_run_keeps_the_result_that_a_late_attempt_of_the_last_run_made_again() -> None:
    run = await Run.of(task("a"))
    provider, late = await late_attempt(run)
    again = await resumed(run)
    store = run.rig.assets.store

    async def store_while_the_late_one_ends(upload: object) -> str:
        asset_id = await store(upload)  # type: ignore[arg-type]
        if not late.done():
            run.rig.assets.store = store  # type: ignore[method-assign]
            provider.may_answer.set()
            await late
        return asset_id

    run.rig.assets.store = store_while_the_late_one_ends  # type: ignore[method-assign]
    assert (await again.steps.attempt(again.attempt("a", 2))).succeeded
    (step,) = (await run.describe()).steps
    assert step.state is StepState.SUCCEEDED
    assert await held(run) == list(step.asset_ids)


async def test_another_step_keeps_the_result_that_a_late_attempt_made_again() -> None:
    run = await Run.of(task("a"), task("b"))
    provider, late = await late_attempt(run)
    await run.steps.select(run.select("b"))
    await run.steps.attempt(run.attempt("b"))
    run.rig.catalogue.providers["mermaid"].script = lambda _: InvocationResult(
        (Artefact(b"other", "image/png", "p.png", "diagram"),)
    )
    await run.steps.attempt(run.attempt("a"))
    provider.may_answer.set()
    await late
    a, b = (await run.describe()).steps
    assert sorted(await held(run)) == sorted((*a.asset_ids, *b.asset_ids))
    assert a.asset_ids != b.asset_ids


async def test_what_a_late_attempt_stored_of_a_run_that_was_undone_is_given_up() -> None:
    run = await Run.of(task("a"), task("b"))
    other = await Run.of(task("a"), rig=run.rig)
    provider, late = await late_attempt(run)
    for each, step in ((other, "a"), (run, "b")):
        await each.steps.select(each.select(step))
        await each.steps.attempt(each.attempt(step))
    await run.steps.close_run(CloseRunInput(run.job_run, JobState.FAILED.value, "no"))
    provider.may_answer.set()
    await late
    assert (await held(run), len(await held(other))) == ([], 1)


async def test_what_a_late_attempt_of_the_last_run_stored_is_given_up_once_the_job_has_ended_again() -> None:
    run = await Run.of(task("a"))
    provider, late = await late_attempt(run)
    again = await resumed(run)
    await again.steps.close_run(CloseRunInput(again.job_run, JobState.FAILED.value, "no"))
    provider.may_answer.set()
    await late
    assert run.rig.assets.stored == {}
