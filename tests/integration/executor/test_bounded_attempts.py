"""How often a step is tried within one run, on the real Temporal server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.testing.contract import eventually
from svc_executor.app.control import ControlRequest
from svc_executor.app.open_run import RunLimits
from svc_executor.domain.job import JobState, StepState
from svc_executor.domain.peers import Evaluation
from svc_executor.domain.run import JobRun
from tests.in_memory.executor.peers import Candidate
from tests.unit.executor.rig import OWNER, Rig, capability, down, task

if TYPE_CHECKING:
    from tests.integration.executor.conftest import Run


def refusing(number: int, **limits: int) -> Rig:
    """A ladder of so many capabilities, all of which are down."""
    candidates = tuple(Candidate("image_diagram", capability(f"tool-{each}")) for each in range(number))
    rig = Rig(candidates=candidates, limits=RunLimits(**limits))
    for provider in rig.catalogue.providers.values():
        provider.script = down
    return rig


async def test_a_step_over_many_refusing_capabilities_ends_after_the_most_attempts(work_on: Run) -> None:
    rig = await work_on(refusing(60))
    description = await rig.run(task("fig"))
    (step,) = description.steps
    assert (description.job.state, step.state, len(description.executions)) == (JobState.FAILED, StepState.FAILED, 20)
    told = "tool-19@local: UNAVAILABLE: it is down; then it had the 20 attempts that a step may have"
    assert step.message.endswith(told)


async def test_reworks_count_and_the_last_verdict_is_told(work_on: Run) -> None:
    rig = Rig(limits=RunLimits(max_rework=5, max_attempts=3))
    rig.critic._rule = lambda evaluation_request: Evaluation(
        f"e-{evaluation_request.execution_id}", passes=False, score=0.1
    )
    description = await (await work_on(rig)).run(task("fig", quality_gate={"enabled": True}))
    assert [each.capability.tool_id for each in description.executions] == ["mermaid"] * 3
    told = "mermaid@local: QUALITY: below the quality bar; then it had the 3 attempts that a step may have"
    assert description.steps[0].message == told


async def test_a_resumed_job_may_try_as_often_again(work_on: Run) -> None:
    rig = await work_on(refusing(2, max_attempts=1))
    job = (await rig.run(task("fig"))).job
    await rig.resume(ControlRequest(OWNER, job.job_id))

    async def failed_again() -> bool:
        await rig.runner.start(JobRun(job.tenant_id, job.job_id, 2))
        return (await rig.store.job(job.tenant_id, job.job_id)).state is JobState.FAILED

    await eventually(failed_again)
    description = await rig.store.describe(job.tenant_id, job.job_id)
    assert [each.attempt for each in description.executions] == [1, 2]


async def test_a_run_that_an_earlier_version_opened_has_no_bound(work_on: Run) -> None:
    rig = await work_on(refusing(22, max_attempts=0))
    description = await rig.run(task("fig"))
    assert len(description.executions) == 22
    assert description.steps[0].message.endswith("no capability is left for image_diagram")
