"""How jobs end, on the real Temporal server: what is undone, what it costs, what a resumed run keeps."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from mesh import context
from mesh.errors import Reason, SomaError
from mesh.testing.contract import eventually
from soma_providers.port import (
    Artefact,
    InvocationResult,
    Usage,
)
from svc_executor.app.control import CancelJob, ControlRequest, ResumeJob
from svc_executor.domain.job import ExecutionStatus, JobState, StepState
from svc_executor.domain.run import JobRun
from svc_executor.domain.timeline import EventType
from tests.in_memory.executor.peers import Candidate
from tests.unit.executor.rig import OWNER, Rig, capability, down, picture, plan, states, task

if TYPE_CHECKING:
    from soma_providers.port import Invocation
    from svc_executor.domain.peers import Selection, SelectionRequest
    from svc_executor.domain.timeline import JobDescription
    from tests.integration.executor.conftest import Run


async def test_skip_leaves_out_the_step_and_all_that_needs_it(work_on: Run) -> None:
    rig = await work_on(Rig())
    rig.catalogue.providers["painter"].script = down
    description = await rig.run(
        task("photo", "generate_image", on_failure="SKIP"),
        task("doc", "compose_document", params={"a": "${photo.asset}"}),
        task("after", depends_on=["doc"]),
        task("fig"),
    )
    assert description.job.state is JobState.PARTIAL
    assert states(description) == {
        "photo": StepState.SKIPPED, "doc": StepState.SKIPPED, "after": StepState.SKIPPED, "fig": StepState.SUCCEEDED,
    }  # fmt: skip


async def test_continue_runs_what_needs_the_step_without_its_result(work_on: Run) -> None:
    rig = await work_on(Rig())
    rig.catalogue.providers["painter"].script = down
    description = await rig.run(
        task("photo", "generate_image", on_failure="CONTINUE"),
        task("doc", "compose_document", params={"a": "${photo.asset}", "b": "[${photo.text}]"}),
    )
    assert description.job.state is JobState.PARTIAL
    assert states(description) == {"photo": StepState.FAILED, "doc": StepState.SUCCEEDED}
    (call,) = rig.calls("composer")
    assert (call.params["a"], call.params["b"], dict(call.inputs)) == ("photo", "[]", {})


async def test_a_failed_job_undoes_what_it_made_in_reverse(work_on: Run) -> None:
    rig = await work_on(Rig())
    rig.catalogue.providers["composer"].script = down
    description = await rig.run(
        task("a"), task("b", depends_on=["a"]), task("doc", "compose_document", depends_on=["b"])
    )
    assert description.job.state is JobState.FAILED
    made = [asset for step in description.steps for asset in step.asset_ids]
    assert [each.target_id for each in description.compensations] == made[::-1]
    assert all(each.done for each in description.compensations)
    assert rig.assets.stored == {}
    assert [event.type for event in description.events][-3:] == [EventType.COMPENSATION] * 2 + [EventType.JOB]
    assert rig.meter.entries.count("compensation asset done") == 2


async def test_a_plan_may_keep_what_a_failed_job_made(work_on: Run) -> None:
    rig = await work_on(Rig())
    rig.catalogue.providers["composer"].script = down
    steps = (task("a"), task("doc", "compose_document", depends_on=["a"]))
    description = await rig.run(*steps, policy_overrides={"keep_assets_on_failure": True})
    assert description.job.state is JobState.FAILED
    assert list(rig.assets.stored) == list(description.steps[0].asset_ids)


async def test_a_limit_of_the_cost_tier_decides_which_capabilities_a_job_may_use(work_on: Run) -> None:
    candidates = (
        Candidate("image_photo", capability("painter"), "high"),
        Candidate("image_photo", capability("sketcher"), "medium"),
    )
    rig = await work_on(Rig(candidates=candidates))
    refused = await rig.run(task("photo", "generate_image"), policy_overrides={"max_cost_tier": "low"})
    assert refused.job.state is JobState.FAILED
    assert "no capability is left for image_photo" in refused.steps[0].message
    made = await rig.run(task("photo", "generate_image"), policy_overrides={"max_cost_tier": "medium"})
    assert made.job.state is JobState.COMPLETED
    assert (len(rig.calls("painter")), len(rig.calls("sketcher"))) == (0, 1)


async def test_an_undoing_that_fails_is_tried_again_and_recorded_when_it_cannot_be_done(work_on: Run) -> None:
    rig = Rig()
    tries = 0

    async def release(asset_id: str, job_id: str, reason: str) -> None:
        nonlocal tries
        tries += 1
        raise SomaError(Reason.UNAVAILABLE, "the assets are away")

    rig.assets.release = release  # type: ignore[method-assign]
    rig.catalogue.providers["composer"].script = down
    await work_on(rig)
    description = await rig.run(task("a"), task("doc", "compose_document", depends_on=["a"]))
    assert description.job.state is JobState.FAILED
    assert tries > 1
    assert [(each.done, each.message) for each in description.compensations] == [(False, "the assets are away")]


async def test_a_cancelled_job_stops_its_providers_and_undoes_what_it_made(work_on: Run) -> None:
    rig = Rig()
    stopped = asyncio.Event()

    class Endless:
        provider = "remote"

        async def invoke(self, invocation: Invocation) -> InvocationResult:
            try:
                await asyncio.Event().wait()
            finally:
                stopped.set()
            return picture(invocation)

    rig.catalogue.providers["painter"] = Endless()  # type: ignore[assignment]
    await work_on(rig)
    job = await rig.submit(plan(task("a"), task("photo", "generate_image"), task("after", depends_on=["photo"])))

    async def halfway() -> bool:
        steps = await rig.store.steps(job.tenant_id, job.job_id)
        return (steps[0].state, steps[1].state) == (StepState.SUCCEEDED, StepState.RUNNING)

    await eventually(halfway)
    await CancelJob(rig.store, rig.runner)(ControlRequest(OWNER, job.job_id, reason="changed my mind"))
    description = await rig.ended(job)
    assert (description.job.state, description.job.message) == (JobState.CANCELLED, "changed my mind")
    assert stopped.is_set()
    assert description.executions[-1].status is ExecutionStatus.CANCELLED
    assert rig.assets.stored == {}
    assert rig.selector.reserved == {}
    assert set(states(description).values()) == {StepState.SUCCEEDED, StepState.CANCELLED}


async def test_a_wish_to_cancel_before_the_start_is_kept(work_on: Run) -> None:
    rig = Rig()
    job = await rig.submit(plan(task("a")))
    await CancelJob(rig.store, rig.runner)(ControlRequest(OWNER, job.job_id, reason="never mind"))
    (job_run,) = rig.started
    await work_on(rig)
    await rig.runner.start(job_run)
    assert (await rig.ended(job)).job.state is JobState.CANCELLED
    assert rig.calls("mermaid") == []


async def test_a_job_that_takes_too_long_fails(work_on: Run) -> None:
    rig = Rig()

    class Slow:
        provider = "local"

        async def invoke(self, invocation: Invocation) -> InvocationResult:
            await asyncio.Event().wait()
            return picture(invocation)

    rig.catalogue.providers["mermaid"] = Slow()  # type: ignore[assignment]
    await work_on(rig)
    description = await rig.run(task("a"), budget={"max_duration_sec": 1})
    assert (description.job.state, description.job.message) == (JobState.FAILED, "the job took longer than 1 seconds")


async def test_true_costs_are_settled_and_failed_calls_released(work_on: Run) -> None:
    rig = await work_on(Rig())
    rig.catalogue.providers["painter"].script = lambda _: InvocationResult(
        (Artefact(b"x", "image/png", "x.png", "image"),), usage=Usage(images=1)
    )
    description = await rig.run(task("photo", "generate_image"))
    assert description.job.cost_micro_usd == description.steps[0].cost_micro_usd == 40_000
    assert list(rig.selector.settled.values()) == [40_000]
    rig.catalogue.providers["painter"].script = down
    failed = await rig.run(task("photo", "generate_image"))
    assert failed.job.state is JobState.FAILED
    assert len(rig.selector.released) == 1
    assert rig.selector.reserved == {}


async def test_a_plan_never_costs_more_than_its_cap_however_many_steps_run_at_once(work_on: Run) -> None:
    rig = await work_on(Rig())
    rig.catalogue.providers["painter"].script = lambda call: InvocationResult(
        (Artefact(call.idempotency_key.encode(), "image/png", "x.png", "image"),), usage=Usage(images=1)
    )
    steps = [task(f"p{number}", "generate_image", on_failure="CONTINUE") for number in range(4)]
    description = await rig.run(*steps, budget={"max_cost_cents": 8})
    assert description.job.cost_micro_usd == 80_000
    assert sorted(states(description).values()) == [StepState.FAILED] * 2 + [StepState.SUCCEEDED] * 2
    assert description.job.state is JobState.PARTIAL


async def test_a_partial_job_is_resumed_from_its_recorded_results(work_on: Run) -> None:
    rig = await work_on(Rig())
    rig.catalogue.providers["painter"].script = down
    description = await rig.run(task("fig"), task("photo", "generate_image", on_failure="CONTINUE"))
    assert description.job.state is JobState.PARTIAL
    rig.catalogue.providers["painter"].script = picture
    resume = rig.resume
    await _resumed(rig, resume, description)
    again = await rig.ended(description.job)
    assert (again.job.state, again.job.run) == (JobState.COMPLETED, 2)
    assert len(rig.calls("mermaid")) == 1
    assert [each.attempt for each in again.executions if each.step_id == "photo"] == [1, 2]
    assert [event.sequence for event in again.events] == list(range(1, len(again.events) + 1))


async def test_a_failed_job_that_was_undone_makes_again_what_is_gone(work_on: Run) -> None:
    rig = await work_on(Rig())
    rig.catalogue.providers["composer"].script = down
    description = await rig.run(task("fig"), task("doc", "compose_document", depends_on=["fig"]))
    rig.catalogue.providers["composer"].script = picture
    await _resumed(rig, rig.resume, description)
    again = await rig.ended(description.job)
    assert again.job.state is JobState.COMPLETED
    assert [call.idempotency_key for call in rig.calls("mermaid")] == [
        each.idempotency_key for each in again.executions if each.step_id == "fig"
    ]
    assert len(rig.assets.stored) == 2


async def test_what_the_job_gave_up_is_made_again_even_while_another_job_holds_it(work_on: Run) -> None:
    rig = await work_on(Rig())
    rig.catalogue.providers["painter"].script = down
    description = await rig.run(task("fig"), task("photo", "generate_image", on_failure="CONTINUE"))
    [asset] = rig.assets.stored.values()
    rig.assets.stored[asset.asset_id] = replace(asset, holders=asset.holders | {"another job"})
    await rig.assets.release(asset.asset_id, description.job.job_id, "given up by its owner")
    rig.catalogue.providers["painter"].script = picture
    await _resumed(rig, rig.resume, description)
    again = await rig.ended(description.job)
    assert (again.job.state, len(rig.calls("mermaid"))) == (JobState.COMPLETED, 2)
    await rig.assets.release(asset.asset_id, "another job", "it is over")
    held = await rig.assets.list_held(description.job.job_id)
    assert {asset_id for step in again.steps for asset_id in step.asset_ids} == set(held)


async def _resumed(rig: Rig, resume: ResumeJob, description: JobDescription) -> None:
    """Resume, and start again as the sweep does, until the last run has let go of the workflow's id."""
    job = await resume(ControlRequest(OWNER, description.job.job_id))

    async def started() -> bool:
        await rig.runner.start(JobRun(job.tenant_id, job.job_id, job.run))
        return (await rig.store.job(job.tenant_id, job.job_id)).state is not JobState.PENDING

    await eventually(started)


async def test_a_run_is_closed_by_the_executor_and_a_resumed_one_acts_for_the_caller(work_on: Run) -> None:
    rig = await work_on(Rig())
    rig.catalogue.providers["composer"].script = down
    selecting, compensation = list[str](), list[str]()
    select, release = rig.selector.select, rig.assets.release

    async def note_select(request: SelectionRequest) -> Selection:
        selecting.append(context.caller().key_id)
        return await select(request)

    async def note_release(*names: str) -> None:
        compensation.append(context.caller().subject)
        await release(*names)

    rig.selector.select, rig.assets.release = note_select, note_release  # type: ignore[method-assign]
    description = await rig.run(task("a"), task("doc", "compose_document", depends_on=["a"]))
    assert (set(selecting), compensation) == ({"key-1"}, ["spiffe://soma/executor"])
    selecting.clear()
    other = replace(OWNER, subject="user-2", key_id="key-2")
    await rig.resume(ControlRequest(other, description.job.job_id))

    async def again() -> bool:
        await rig.runner.start(JobRun(OWNER.tenant_id, description.job.job_id, 2))
        return (await rig.store.job(OWNER.tenant_id, description.job.job_id)).state is JobState.FAILED

    await eventually(again)
    assert set(selecting) == {"key-2"}
