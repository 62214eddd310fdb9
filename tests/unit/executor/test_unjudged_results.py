"""Results that the critic did not judge: accepted where the asset is the reason, and only there."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from mesh.errors import Reason, SomaError, not_found
from svc_executor.domain.job import StepState
from tests.in_memory.executor.peers import Candidate
from tests.unit.executor.rig import Rig, capability, task
from tests.unit.executor.test_run_steps import Run

if TYPE_CHECKING:
    from svc_executor.domain.peers import Evaluation, EvaluationRequest
    from svc_executor.domain.run import EvaluationResult


async def evaluated(error: SomaError) -> tuple[Run, EvaluationResult]:
    """A run whose gated attempt is made, and the verdict on it by a critic that raises the error."""

    def refuse(_: EvaluationRequest) -> Evaluation:
        raise error

    run = await Run.of(task("a", quality_gate={"enabled": True}))
    run.rig.critic._rule = refuse
    await run.steps.select(run.select("a"))
    await run.steps.attempt(run.attempt("a"))
    return run, await run.steps.evaluate(run.attempt("a"))


@pytest.mark.parametrize(
    "error",
    [
        SomaError(Reason.UNSUPPORTED_MEDIA_TYPE, "sounds are not judged"),
        SomaError(Reason.FAILED_PRECONDITION, "the asset is too complex to be judged"),
        SomaError(Reason.PAYLOAD_TOO_LARGE, "larger than what is judged"),
        not_found("asset", "one"),
    ],
)
async def test_an_asset_that_cannot_be_judged_is_accepted_and_the_timeline_says_so(error: SomaError) -> None:
    run, verdict = await evaluated(error)
    description = await run.describe()
    assert verdict.passes
    assert description.steps[0].state is StepState.SUCCEEDED
    assert any(f"accepted as it is: {error.message}" in event.message for event in description.events)


@pytest.mark.parametrize(
    "error",
    [not_found("rubric", "mine")]
    + [
        SomaError(reason, "refused")
        for reason in (
            Reason.UNAUTHENTICATED,
            Reason.PERMISSION_DENIED,
            Reason.POLICY_DENIED,
            Reason.BUDGET_EXCEEDED,
            Reason.INVALID_ARGUMENT,
            Reason.IDEMPOTENCY_MISMATCH,
            Reason.UNIMPLEMENTED,
            Reason.INTERNAL,
        )
    ],
    ids=lambda error: error.reason.value,
)
async def test_a_result_that_the_critic_did_not_look_at_is_not_accepted(error: SomaError) -> None:
    with pytest.raises(SomaError) as raised:
        await evaluated(error)
    assert raised.value.reason is error.reason
    assert raised.value.message == f"the critic did not judge the result of attempt 1: {error.message}"


async def test_a_refused_judgement_leaves_the_step_open() -> None:
    run = await Run.of(task("a", quality_gate={"enabled": True}))

    def refuse(_: EvaluationRequest) -> Evaluation:
        raise SomaError(Reason.PERMISSION_DENIED, "refused")

    run.rig.critic._rule = refuse
    await run.steps.select(run.select("a"))
    await run.steps.attempt(run.attempt("a"))
    with pytest.raises(SomaError):
        await run.steps.evaluate(run.attempt("a"))
    (step,) = (await run.describe()).steps
    assert (step.accepted_attempt, step.state.ended) == (0, False)


@pytest.mark.parametrize(("owner", "named"), [("", "mermaid"), ("tenant-a", "")])
async def test_the_critic_is_told_the_tool_unless_a_tenant_owns_it(owner: str, named: str) -> None:
    owned = Candidate("image_diagram", replace(capability("mermaid"), owner_tenant_id=owner))
    run = await Run.of(task("a", quality_gate={"enabled": True}), rig=Rig(candidates=(owned,)))
    await run.steps.select(run.select("a"))
    await run.steps.attempt(run.attempt("a"))
    await run.steps.evaluate(run.attempt("a"))
    assert [request.tool_id for request in run.rig.critic.evaluation_requests] == [named]
