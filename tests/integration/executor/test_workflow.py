"""What a job does, on the real Temporal server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mesh.errors import Reason, SomaError
from soma_providers.port import (
    Artefact,
    Feedback,
    InputArtefact,
    InvocationResult,
)
from svc_executor.app.open_run import RunLimits
from svc_executor.domain.job import ExecutionStatus, JobState, StepState
from svc_executor.domain.peers import Evaluation
from svc_executor.domain.timeline import ExecutionFact, JobFact
from tests.unit.executor.rig import Rig, down, picture, states, task, text_result

if TYPE_CHECKING:
    from temporalio.client import Client

    from soma_providers.port import Invocation
    from svc_executor.domain.job import Job
    from svc_executor.domain.peers import EvaluationRequest
    from tests.integration.executor.conftest import Run

GATE = {"enabled": True}


def contents(call: Invocation) -> dict[str, bytes]:
    return {name: each.content for name, each in call.inputs.items() if isinstance(each, InputArtefact)}


async def test_outputs_of_steps_are_inputs_of_later_ones(work_on: Run) -> None:
    rig = await work_on(Rig())
    rig.catalogue.providers["mermaid"].script = lambda _: InvocationResult(
        (Artefact(b"png", "image/png", "f.png", "diagram"), Artefact(b"<svg/>", "image/svg+xml", "f.SVG", "diagram"))
    )
    description = await rig.run(
        task("intro", "generate_text", params={"prompt": "Write"}),
        task("fig", params={"source": "graph"}),
        task("doc", "compose_document", params={"sections": ["> ${intro.text}", "${fig.asset}"]}),
    )
    assert description.job.state is JobState.COMPLETED
    (call,) = rig.calls("composer")
    assert call.params["sections"] == ["> Words.", "fig"]
    assert contents(call) == {"fig": b"png", "fig.svg": b"<svg/>"}
    origins = call.params["provenance"]
    assert isinstance(origins, dict)
    origin = origins["fig"]
    assert origin["capability_id"] == "mermaid@local"
    assert origin["license"] == "MIT"
    assert origin["asset_id"] == description.steps[1].asset_ids[0]
    assert description.steps[0].text == "Words."


async def at_once(client: Client, job: Job) -> int:
    """The most activities of a job that were asked for and had not ended, by its history."""
    history = await client.get_workflow_handle(job.job_id).fetch_history()
    pending = most = 0
    for event in history.events:
        pending += event.HasField("activity_task_scheduled_event_attributes")
        pending -= event.HasField("activity_task_completed_event_attributes")
        most = max(most, pending)
    return most


async def test_ready_steps_run_at_once_within_the_limit(work_on: Run, temporal_client: Client) -> None:
    rig = Rig(limits=RunLimits(parallel_steps=3))
    three = asyncio.Barrier(3)

    class Busy:
        provider = "local"

        async def invoke(self, invocation: Invocation) -> InvocationResult:
            async with asyncio.timeout(20):
                await three.wait()
            return picture(invocation)

    rig.catalogue.providers["mermaid"] = Busy()  # type: ignore[assignment]
    await work_on(rig)
    description = await rig.run(*(task(f"t{number}") for number in range(6)))
    assert description.job.state is JobState.COMPLETED
    assert await at_once(temporal_client, description.job) == 3


async def test_a_failed_capability_is_left_for_the_next_rung_with_its_reason(work_on: Run) -> None:
    rig = await work_on(Rig())
    rig.catalogue.providers["mermaid"].script = down
    description = await rig.run(task("fig"))
    first, second = description.executions
    assert (first.status, first.error_code) == (ExecutionStatus.FAILED, "UNAVAILABLE")
    assert (second.status, second.capability.capability_id) == (ExecutionStatus.SUCCEEDED, "plantuml@local")
    assert second.fallback_reason == "mermaid@local: UNAVAILABLE: it is down"
    assert description.job.state is JobState.COMPLETED
    assert "fallback diagram UNAVAILABLE" in rig.meter.entries


async def test_the_preferred_capability_comes_first(work_on: Run) -> None:
    rig = await work_on(Rig())
    description = await rig.run(task("fig", user_defaults={"provider": "local", "model": "plantuml"}))
    assert description.steps[0].capability_id == "plantuml@local"


async def test_when_nothing_is_left_every_attempt_is_named_and_the_job_fails(work_on: Run) -> None:
    rig = await work_on(Rig())
    rig.catalogue.providers["mermaid"].script = rig.catalogue.providers["plantuml"].script = down
    description = await rig.run(task("fig"), task("after", depends_on=["fig"]))
    assert description.job.state is JobState.FAILED
    assert states(description) == {"fig": StepState.FAILED, "after": StepState.CANCELLED}
    assert "mermaid@local" in description.steps[0].message
    assert "plantuml@local" in description.steps[0].message
    assert description.events[-1].terminal


def rejected_by_critic(times: int) -> Rig:
    """The critic sends results back a number of times."""
    told = iter([False] * times)

    def rule(evaluation_request: EvaluationRequest) -> Evaluation:
        passes = next(told, True)
        feedback = () if passes else (Feedback("clarity", "TOO_SMALL", "Make it larger.", {"min_width_px": 1200}),)
        return Evaluation(f"evaluation-{evaluation_request.execution_id}", passes, 0.9 if passes else 0.4, feedback)

    rig = Rig()
    rig.critic._rule = rule
    return rig


async def test_a_result_below_the_bar_is_reworked_with_the_feedback_by_the_same_capability(work_on: Run) -> None:
    rig = await work_on(rejected_by_critic(1))
    description = await rig.run(task("fig", quality_gate=GATE, params={"prompt": "Draw", "expected_labels": ["A"]}))
    first, second = description.executions
    assert (first.status, first.quality_score) == (ExecutionStatus.REJECTED, 0.4)
    assert (second.status, second.capability, second.quality_score) == (
        ExecutionStatus.SUCCEEDED,
        first.capability,
        0.9,
    )
    assert second.rework_reason == "TOO_SMALL: Make it larger."
    assert second.fallback_reason == ""
    before, again = rig.calls("mermaid")
    assert (before.feedback, again.feedback) == ((), first.feedback)
    assert before.idempotency_key != again.idempotency_key
    assert description.steps[0].quality_score == 0.9
    assert before.params == {"prompt": "Draw"}
    assert (rig.critic.evaluation_requests[0].request, rig.critic.evaluation_requests[0].expected_labels) == (
        "Draw",
        ("A",),
    )
    assert "rework diagram TOO_SMALL" in rig.meter.entries


async def test_the_prompt_of_a_reworked_text_tells_what_to_mend(work_on: Run) -> None:
    rig = await work_on(rejected_by_critic(1))
    await rig.run(task("intro", "generate_text", quality_gate=GATE, params={"prompt": "Write"}))
    before, again = (str(call.params["prompt"]) for call in rig.calls("talker"))
    assert before == "Write"
    assert again.startswith("Write")
    assert "- Make it larger." in again


async def test_after_two_reworks_the_next_rung_is_tried(work_on: Run) -> None:
    rig = await work_on(rejected_by_critic(3))
    description = await rig.run(task("fig", quality_gate=GATE))
    assert [each.capability.tool_id for each in description.executions] == ["mermaid", "mermaid", "mermaid", "plantuml"]
    assert description.executions[-1].fallback_reason.startswith("mermaid@local: QUALITY: TOO_SMALL")
    assert description.job.state is JobState.COMPLETED


async def test_a_producer_that_gives_the_same_result_again_is_left_for_the_next_rung(work_on: Run) -> None:
    rig = await work_on(rejected_by_critic(2))
    same = InvocationResult((Artefact(b"png", "image/png", "f.png", "diagram"),))
    rig.catalogue.providers["mermaid"].script = lambda _: same
    description = await rig.run(task("fig", quality_gate=GATE))
    assert [each.capability.tool_id for each in description.executions] == ["mermaid", "mermaid", "plantuml"]
    fallback = "mermaid@local: QUALITY: the same result again; TOO_SMALL: Make it larger."
    assert description.executions[-1].fallback_reason.startswith(fallback)
    assert description.job.state is JobState.COMPLETED


async def test_what_cannot_be_judged_is_accepted_and_the_timeline_says_so(work_on: Run) -> None:
    def refuse(_: EvaluationRequest) -> Evaluation:
        raise SomaError(Reason.UNSUPPORTED_MEDIA_TYPE, "sounds are not judged")

    rig = await work_on(Rig())
    rig.critic._rule = refuse
    description = await rig.run(task("fig", quality_gate=GATE))
    assert description.job.state is JobState.COMPLETED
    assert description.steps[0].quality_score is None
    assert any("sounds are not judged" in event.message for event in description.events)


async def test_what_the_critic_refuses_to_judge_fails_its_step_with_the_reason(work_on: Run) -> None:
    def refuse(_: EvaluationRequest) -> Evaluation:
        raise SomaError(Reason.PERMISSION_DENIED, "member may not call evaluation.create")

    rig = await work_on(Rig())
    rig.critic._rule = refuse
    description = await rig.run(task("fig", quality_gate=GATE))
    assert (description.job.state, states(description)) == (JobState.FAILED, {"fig": StepState.FAILED})
    assert "PERMISSION_DENIED: the critic did not judge the result of attempt 1: member" in description.steps[0].message
    assert len(rig.calls("mermaid")) == 1
    assert rig.assets.stored == {}


async def test_facts_tell_each_attempt_once_and_every_change_of_the_job(work_on: Run) -> None:
    rig = await work_on(rejected_by_critic(1))
    description = await rig.run(task("fig", quality_gate=GATE, params={"prompt": "Draw"}), task("b"))
    told = [fact for fact in rig.facts if isinstance(fact, ExecutionFact)]
    assert sorted((fact.execution.step_id, fact.execution.attempt, fact.execution.status) for fact in told) == [
        ("b", 1, ExecutionStatus.SUCCEEDED),
        ("fig", 1, ExecutionStatus.REJECTED),
        ("fig", 2, ExecutionStatus.SUCCEEDED),
    ]
    assert {fact.subject for fact in told} == {"user-1"}
    changes = [fact.job.state for fact in rig.facts if isinstance(fact, JobFact)]
    assert changes[0] is JobState.RUNNING
    assert changes[-1] is description.job.state is JobState.COMPLETED


async def test_a_defect_of_an_adapter_costs_its_rung_alone(work_on: Run) -> None:
    def broken(_: Invocation) -> InvocationResult:
        raise ZeroDivisionError

    rig = await work_on(Rig())
    rig.catalogue.providers["mermaid"].script = broken
    description = await rig.run(task("fig"))
    assert description.executions[0].error_code == "INTERNAL"
    assert "ZeroDivision" not in description.executions[0].error_message
    assert description.job.state is JobState.COMPLETED


async def test_an_answer_without_anything_is_a_failure(work_on: Run) -> None:
    rig = await work_on(Rig())
    rig.catalogue.providers["mermaid"].script = text_result("  ")
    description = await rig.run(task("fig"))
    assert description.steps[0].capability_id == "plantuml@local"


async def test_a_call_whose_answer_was_lost_is_made_again_by_the_same_capability(work_on: Run) -> None:
    rig = Rig()
    started, calls = asyncio.Event(), list[str]()

    class Restarted:
        """Its worker is stopped in the middle of the first call."""

        provider = "remote"

        async def invoke(self, invocation: Invocation) -> InvocationResult:
            calls.append(invocation.idempotency_key)
            if len(calls) == 1:
                started.set()
                raise asyncio.CancelledError
            return picture(invocation)

    rig.catalogue.providers["painter"] = Restarted()  # type: ignore[assignment]
    await work_on(rig)
    description = await rig.run(task("photo", "generate_image"))
    assert description.job.state is JobState.COMPLETED
    assert [each.error_code for each in description.executions] == ["RESULT_LOST", ""]
    assert len(set(calls)) == 1
    assert sorted(rig.selector.settled.values()) == [0, 40_000], "of the second call nothing priced is reported"
