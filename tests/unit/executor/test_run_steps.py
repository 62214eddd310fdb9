"""The use cases of a run, each repeated as a crash would have it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mesh.errors import Reason, SomaError
from soma_providers.port import Artefact, InvocationResult, Usage
from svc_executor.domain.job import ExecutionStatus, JobState, StepState
from svc_executor.domain.peers import Evaluation
from svc_executor.domain.run import AttemptInput, CloseRunInput, EndStepInput, JobRun, SelectInput
from svc_executor.domain.timeline import EventType, ExecutionFact
from tests.unit.executor.rig import OWNER, Rig, picture, plan, task, text_result

if TYPE_CHECKING:
    from soma_providers.port import Invocation, JsonValue
    from svc_executor.domain.timeline import JobDescription
    from svc_executor.workflows.activities import UseCases

TENANT = OWNER.tenant_id


class Run:
    """A job that is stepped through by hand."""

    def __init__(self, rig: Rig, job_run: JobRun) -> None:
        self.rig = rig
        self.job_run = job_run
        self.steps: UseCases = rig.use_cases()

    @classmethod
    async def of(cls, *tasks: dict[str, JsonValue], rig: Rig | None = None, **fields: JsonValue) -> Run:
        """Submit a plan and open its run."""
        rig = rig or Rig()
        job = await rig.submit(plan(*tasks, **fields))
        run = cls(rig, JobRun(TENANT, job.job_id, 1))
        await run.steps.open_run(run.job_run)
        return run

    def select(self, step: str, attempt: int = 1, **fields: object) -> SelectInput:
        """An order to choose."""
        return SelectInput(self.job_run, step, attempt, **fields)  # type: ignore[arg-type]

    def attempt(self, step: str, attempt: int = 1) -> AttemptInput:
        """An order to make or judge."""
        return AttemptInput(self.job_run, step, attempt)

    async def describe(self) -> JobDescription:
        """All that is recorded."""
        return await self.rig.store.describe(TENANT, self.job_run.job_id)


async def test_opening_twice_starts_the_job_once() -> None:
    run = await Run.of(task("a"))
    again = await run.steps.open_run(run.job_run)
    assert again.proceed
    assert [step.next_attempt for step in again.steps] == [1]
    assert [event.message for event in (await run.describe()).events] == ["the job is accepted", "the job runs"]


async def test_another_run_of_the_job_has_nothing_to_do() -> None:
    run = await Run.of(task("a"))
    assert not (await run.steps.open_run(JobRun(TENANT, run.job_run.job_id, 2))).proceed


async def test_an_unrecorded_attempt_is_taken_up_again_under_its_number() -> None:
    run = await Run.of(task("a"))
    await run.steps.select(run.select("a"))
    assert (await run.steps.open_run(run.job_run)).steps[0].next_attempt == 1
    await run.steps.attempt(run.attempt("a"))
    assert (await run.steps.open_run(run.job_run)).steps[0].next_attempt == 2


async def test_choosing_twice_begins_one_attempt() -> None:
    run = await Run.of(task("a"))
    first = await run.steps.select(run.select("a"))
    assert await run.steps.select(run.select("a")) == first
    description = await run.describe()
    assert len(description.executions) == 1
    assert [event.type for event in description.events].count(EventType.SELECTION) == 1


async def test_a_refused_choice_is_an_answer_but_an_outage_is_raised() -> None:
    run = await Run.of(task("a", "synthesize_speech"))
    refused = await run.steps.select(run.select("a"))
    assert (refused.has_capability, refused.message) == (False, "no capability is left for audio_tts")

    async def away(_: object) -> None:
        raise SomaError(Reason.UNAVAILABLE, "away")

    run.rig.selector.select = away  # type: ignore[method-assign,assignment]
    with pytest.raises(SomaError):
        await run.steps.select(run.select("a"))


async def test_an_attempt_made_twice_asks_the_provider_once() -> None:
    run = await Run.of(task("a"))
    await run.steps.select(run.select("a"))
    first = await run.steps.attempt(run.attempt("a"))
    assert await run.steps.attempt(run.attempt("a")) == first
    assert len(run.rig.calls("mermaid")) == 1
    assert sum(isinstance(fact, ExecutionFact) for fact in run.rig.facts) == 1


async def test_an_attempt_that_was_lost_before_its_record_calls_once_and_stores_once() -> None:
    run = await Run.of(task("a"))
    await run.steps.select(run.select("a"))
    store, lost = run.rig.assets.store, iter([True])

    async def store_then_lose(upload: object) -> str:
        asset_id = await store(upload)  # type: ignore[arg-type]
        if next(lost, False):
            raise SomaError(Reason.UNAVAILABLE, "the answer was lost")
        return asset_id

    run.rig.assets.store = store_then_lose  # type: ignore[method-assign]
    with pytest.raises(SomaError):
        await run.steps.attempt(run.attempt("a"))
    assert (await run.steps.attempt(run.attempt("a"))).succeeded
    assert len(run.rig.calls("mermaid")) == 1
    assert run.rig.outcomes.stored_outcomes == {}
    (asset,) = run.rig.assets.stored.values()
    assert asset.holders == {run.job_run.job_id}


async def test_of_two_tries_at_once_the_first_record_stays() -> None:
    run = await Run.of(task("a"))
    await run.steps.select(run.select("a"))
    inner = run.rig.catalogue.providers["mermaid"]

    class Overtaken:
        provider = "local"

        async def invoke(self, invocation: Invocation) -> InvocationResult:
            run.rig.catalogue.providers["mermaid"] = inner
            await run.steps.attempt(run.attempt("a"))
            return InvocationResult((Artefact(b"late", "image/png", "late.png", "diagram"),))

    run.rig.catalogue.providers["mermaid"] = Overtaken()  # type: ignore[assignment]
    await run.steps.attempt(run.attempt("a"))
    description = await run.describe()
    assert description.steps[0].asset_ids == description.executions[0].asset_ids
    content = run.rig.assets.stored[description.steps[0].asset_ids[0]].upload.artefact.content
    assert content == picture(inner.invocations[0]).artefacts[0].content


async def test_the_cost_is_settled_again_when_the_first_try_was_lost() -> None:
    run = await Run.of(task("a", "generate_image"))
    run.rig.catalogue.providers["painter"].script = lambda call: InvocationResult(
        picture(call).artefacts, usage=Usage(images=1)
    )
    await run.steps.select(run.select("a"))
    settle = run.rig.selector.settle

    async def away(reservation_id: str, cost_micro_usd: int) -> None:
        raise SomaError(Reason.UNAVAILABLE, "away")

    run.rig.selector.settle = away  # type: ignore[method-assign]
    with pytest.raises(SomaError):
        await run.steps.attempt(run.attempt("a"))
    run.rig.selector.settle = settle  # type: ignore[method-assign]
    await run.steps.attempt(run.attempt("a"))
    assert list(run.rig.selector.settled.values()) == [40_000]
    assert len(run.rig.calls("painter")) == 1
    assert (await run.describe()).executions[0].settled


async def test_a_verdict_asked_for_twice_is_given_once() -> None:
    rig = Rig()
    rig.critic._rule = lambda evaluation_request: Evaluation(
        f"e-{evaluation_request.execution_id}", passes=False, score=0.1
    )
    run = await Run.of(task("a", quality_gate={"enabled": True}), rig=rig)
    await run.steps.select(run.select("a"))
    await run.steps.attempt(run.attempt("a"))
    verdict = await run.steps.evaluate(run.attempt("a"))
    assert (verdict.passes, verdict.message) == (False, "below the quality bar")
    assert await run.steps.evaluate(run.attempt("a")) == verdict
    assert [event.type for event in (await run.describe()).events].count(EventType.EVALUATION) == 1
    assert (await run.steps.attempt(run.attempt("a"))).succeeded


async def test_a_step_that_ended_stays_as_it_is() -> None:
    run = await Run.of(task("a"))
    await run.steps.select(run.select("a"))
    await run.steps.attempt(run.attempt("a"))
    await run.steps.end_step(EndStepInput(run.job_run, "a", StepState.FAILED.value, "too late"))
    assert (await run.describe()).steps[0].state is StepState.SUCCEEDED


async def test_closing_is_taken_up_where_it_was_left() -> None:
    run = await Run.of(task("a"), task("b"))
    for step in ("a", "b"):
        await run.steps.select(run.select(step))
        await run.steps.attempt(run.attempt(step))
    release, refusals = run.rig.assets.release, iter([False, True])

    async def refuse_the_second(asset_id: str, job_id: str, reason: str) -> None:
        if next(refusals, False):
            raise SomaError(Reason.UNAVAILABLE, "away")
        await release(asset_id, job_id, reason)

    run.rig.assets.release = refuse_the_second  # type: ignore[method-assign]
    job_run = CloseRunInput(run.job_run, JobState.CANCELLED.value, "enough")
    with pytest.raises(SomaError):
        await run.steps.close_run(job_run)
    assert not (await run.describe()).job.state.ended
    await run.steps.close_run(job_run)
    await run.steps.close_run(job_run)
    description = await run.describe()
    assert (description.job.state, description.job.message) == (JobState.CANCELLED, "enough")
    assert run.rig.assets.released == [description.steps[1].asset_ids[0], description.steps[0].asset_ids[0]]
    assert sum(event.terminal for event in description.events) == 1


async def test_closing_finds_assets_that_no_attempt_recorded() -> None:
    run = await Run.of(task("a"))
    await run.steps.select(run.select("a"))
    record = run.rig.store.transaction

    def lost(*_: object) -> object:
        raise SomaError(Reason.UNAVAILABLE, "the store is away")

    script = run.rig.catalogue.providers["mermaid"].script

    def then_lose(call: Invocation) -> InvocationResult:
        run.rig.store.transaction = lost  # type: ignore[method-assign,assignment]
        return script(call)

    run.rig.catalogue.providers["mermaid"].script = then_lose
    with pytest.raises(SomaError):
        await run.steps.attempt(run.attempt("a"))
    run.rig.store.transaction = record  # type: ignore[method-assign]
    assert len(run.rig.assets.stored) == 1
    await run.steps.close_run(CloseRunInput(run.job_run, JobState.CANCELLED.value, "enough"))
    assert run.rig.assets.stored == {}
    assert (await run.describe()).executions[0].status is ExecutionStatus.CANCELLED


async def test_an_open_reservation_is_given_back_at_the_end() -> None:
    run = await Run.of(task("a", "generate_image"))
    await run.steps.select(run.select("a"))
    assert run.rig.selector.reserved
    await run.steps.close_run(CloseRunInput(run.job_run, JobState.CANCELLED.value, "enough"))
    assert run.rig.selector.reserved == {}
    assert [each.kind for each in (await run.describe()).compensations] == ["reservation"]


async def test_an_asset_that_two_attempts_share_is_given_up_once_and_other_jobs_keep_theirs() -> None:
    rig = Rig()
    rig.catalogue.providers["mermaid"].script = lambda _: InvocationResult(
        (Artefact(b"same", "image/png", "p.png", "diagram"),)
    )
    other = await Run.of(task("a"), rig=rig)
    run = await Run.of(task("a"), task("b"), rig=rig)
    for each, step in ((other, "a"), (run, "a"), (run, "b")):
        await each.steps.select(each.select(step))
        await each.steps.attempt(each.attempt(step))
    await run.steps.close_run(CloseRunInput(run.job_run, JobState.FAILED.value, "no"))
    (asset_id,) = rig.assets.stored
    assert rig.assets.released == [asset_id]
    assert rig.assets.stored[asset_id].holders == {other.job_run.job_id}


@pytest.mark.parametrize(("chars", "chosen"), [(1_000, "talker@local"), (1_001, "")])
async def test_a_step_whose_params_would_become_too_large_gets_no_capability(chars: int, chosen: str) -> None:
    again = {"prompt": "${a.text}" * 1_000}
    run = await Run.of(task("a", "generate_text"), task("b", "generate_text", params=again))
    run.rig.catalogue.providers["talker"].script = text_result("x" * chars)
    await run.steps.select(run.select("a"))
    await run.steps.attempt(run.attempt("a"))
    await run.steps.evaluate(run.attempt("a"))
    choice = await run.steps.select(run.select("b"))
    assert choice.capability_id == chosen
    assert ("1,000,000" in choice.message) == (not chosen)
