"""A step never works with a text that was erased."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from svc_executor.app.control import ControlRequest
from svc_executor.app.erasure import erase_from_jobs
from svc_executor.domain.erasure import ErasedAsset, ErasedTexts
from svc_executor.domain.job import ExecutionContent, ExecutionStatus, JobState, StepState
from svc_executor.domain.run import CloseRunInput, JobRun
from svc_executor.domain.task_dsl import StepType, Task
from tests.unit.executor.rig import OWNER, task
from tests.unit.executor.test_run_steps import TENANT, Run

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

START = datetime(2026, 11, 1, tzinfo=UTC)

TEXT = task("a", "generate_text", params={"prompt": "who?"})
QUOTE = task("b", depends_on=["a"], params={"source": "graph TD; A[${a.text}]"})
ERASED_TEXT = "b needs the text of a, which was erased"


class OneJob:
    """`AssetTexts` of one job, with what they were told to replace."""

    def __init__(self, erased: ErasedTexts, *tasks: Task) -> None:
        self.erased = erased
        self.known = tasks
        self.replaced: list[tuple[str, bool]] = []

    async def mark(self, _: ErasedAsset, now: datetime) -> None: ...

    async def next_jobs(self, _: ErasedAsset, after: str, limit: int) -> Sequence[str]:
        return ["job"]

    async def lock_jobs(self, _: Sequence[str]) -> None: ...

    async def erase(self, *_: str) -> ErasedTexts:
        return self.erased

    async def tasks(self, _: str, step_ids: Collection[str]) -> Sequence[Task]:
        return [task for task in self.known if not set(task.depends_on).isdisjoint(step_ids)]

    async def replace_inputs(self, _job: str, step_id: str, *_: object, ended_only: bool) -> None:
        self.replaced.append((step_id, ended_only))

    async def forget_jobs(self, _: ErasedAsset, job_ids: Sequence[str], due: datetime) -> None: ...


@pytest.mark.parametrize(
    ("erased", "replaced"),
    [
        (ErasedTexts(), []),
        (ErasedTexts(frozenset({"a"}), frozenset({"a"})), [("b", False)]),
        # Of an attempt that was sent back or that an earlier run made: what runs now was given another text.
        (ErasedTexts(frozenset(), frozenset({"a"})), [("b", True)]),
        (ErasedTexts(frozenset({"c"}), frozenset({"c"})), []),
    ],
)
async def test_only_attempts_that_were_given_the_text_lose_it(
    erased: ErasedTexts, replaced: list[tuple[str, bool]]
) -> None:
    texts = OneJob(
        erased,
        Task("a", 0, StepType.GENERATE_TEXT, "text", "text_chat", params={"prompt": "who?"}),
        Task("b", 1, StepType.GENERATE_TEXT, "text", "text_chat", ("a",), params={"prompt": "Shorten ${a.text}"}),
        Task("c", 2, StepType.GENERATE_TEXT, "text", "text_chat", ("a",), params={"prompt": "$${a.text}"}),
    )
    await erase_from_jobs(texts, ErasedAsset(TENANT, "asset", "job", START), ["job"], START)
    assert texts.replaced == replaced


async def written() -> Run:
    """A run whose first step has made its text."""
    run = await Run.of(TEXT, QUOTE, policy_overrides={"keep_assets_on_failure": True})
    await run.steps.select(run.select("a"))
    await run.steps.attempt(run.attempt("a"))
    return run


async def erase(run: Run) -> None:
    """What the erasure of the text's asset does."""
    async with run.rig.store.transaction(TENANT, run.job_run.job_id) as transaction:
        step = await transaction.step("a")
        await transaction.save_step(replace(step, text="", erased=True))
    for asset_id in step.asset_ids:
        await run.rig.assets.release(asset_id, run.job_run.job_id, "erased")


async def test_no_capability_is_chosen_for_a_step_that_needs_an_erased_text() -> None:
    run = await written()
    await erase(run)
    choice = await run.steps.select(run.select("b"))
    assert (choice.has_capability, choice.message) == (False, ERASED_TEXT)


async def test_an_attempt_fails_when_the_text_was_erased_after_the_choice() -> None:
    run = await written()
    await run.steps.select(run.select("b"))
    await erase(run)
    result = await run.steps.attempt(run.attempt("b"))
    assert (result.succeeded, result.code, result.message) == (False, "FAILED_PRECONDITION", ERASED_TEXT)
    assert run.rig.calls("mermaid") == []
    assert (await run.describe()).executions[1].status is ExecutionStatus.FAILED


async def test_an_attempt_in_flight_records_what_it_was_asked_as_the_erasure_left_it() -> None:
    run = await written()
    await run.steps.select(run.select("b"))
    store = run.rig.assets.store

    async def store_and_erase(upload: object) -> str:
        asset_id = await store(upload)  # type: ignore[arg-type]
        async with run.rig.store.transaction(TENANT, run.job_run.job_id) as transaction:
            existing = await transaction.execution("b", 1)
            assert existing is not None
            assert "Words." in str(existing.params)
            await transaction.save_execution(replace(existing, content=ExecutionContent(QUOTE["params"]), prompt=""))  # type: ignore[arg-type]
        return asset_id

    run.rig.assets.store = store_and_erase  # type: ignore[method-assign]
    assert (await run.steps.attempt(run.attempt("b"))).succeeded
    attempt = (await run.describe()).executions[1]
    assert (attempt.params, attempt.prompt) == (QUOTE["params"], "")


async def test_an_attempt_taken_up_after_the_erasure_is_recorded_with_the_reference_as_it_is_written() -> None:
    run = await written()
    await run.steps.select(run.select("b"))
    await erase(run)
    await run.steps.attempt(run.attempt("b"))
    assert (await run.describe()).executions[1].params == QUOTE["params"]


async def test_a_resumed_job_makes_an_erased_text_anew() -> None:
    run = await written()
    await run.steps.close_run(CloseRunInput(run.job_run, JobState.FAILED.value, "it broke"))
    await erase(run)
    job = await run.rig.resume(ControlRequest(OWNER, run.job_run.job_id))
    again = Run(run.rig, JobRun(TENANT, job.job_id, job.run))
    (step, _) = (await again.describe()).steps
    assert (step.state, step.erased, step.asset_ids) == (StepState.PENDING, False, ())
    await again.steps.open_run(again.job_run)
    await again.steps.select(again.select("a", 2))
    await again.steps.attempt(again.attempt("a", 2))
    assert len(run.rig.calls("talker")) == 2
    assert (await again.steps.select(again.select("b"))).has_capability
