"""What a Decision Trace tells of each kind of job, word for word: the files in golden/ are what readers get."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from google.protobuf.json_format import MessageToJson, Parse

from soma.events.v1 import facts_pb2
from soma.executor.v1 import job_pb2
from soma.gateway.v1 import health_service_pb2
from soma.provenance.v1 import trace_service_pb2
from svc_provenance.app.traces import Traces
from svc_provenance.events.consumed.traces import TraceEventHandlers
from svc_provenance.rpc.convert.traces import trace_to_proto
from tests.in_memory.provenance import MemoryProvenanceStore
from tests.unit.provenance.job_builder import JobBuilder, ranked
from tests.unit.provenance.sample_jobs import CHART, SAMPLE_JOBS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mesh.events.event import Event

GOLDEN = Path(__file__).parent / "golden"
DOCS = Path(__file__).resolve().parents[3] / "docs"


async def traced(sample: JobBuilder, events: Sequence[Event] = ()) -> trace_service_pb2.DecisionTrace:
    """The trace of a sample job whose events arrived, in their order unless another is given."""
    record = MemoryProvenanceStore()
    handlers = TraceEventHandlers(record).handlers()
    for event in events or sample.events():
        await handlers[event.type](None, event)  # type: ignore[arg-type]
    return await Traces(record).get("acme", sample.job_id, trace_to_proto)


def as_json(trace: trace_service_pb2.DecisionTrace) -> str:
    """As the edge writes it."""
    return MessageToJson(
        trace, preserving_proto_field_name=True, always_print_fields_with_no_presence=True, ensure_ascii=False
    )


@pytest.mark.parametrize("name", SAMPLE_JOBS)
async def test_a_trace_reads_as_it_always_did(name: str) -> None:
    trace = await traced(SAMPLE_JOBS[name]())
    told = [trace.story, *(f"{step.step_id}: {step.story}" for step in trace.steps)]
    found = {f"{name}.json": as_json(trace) + "\n", f"{name}.txt": "\n".join(told) + "\n"}
    if os.environ.get("GOLDEN") == "write":
        for file, text in found.items():
            (GOLDEN / file).write_text(text, encoding="utf-8")
    assert found == {file: (GOLDEN / file).read_text(encoding="utf-8") for file in found}


@pytest.mark.parametrize("name", SAMPLE_JOBS)
async def test_the_order_in_which_facts_arrive_changes_nothing(name: str) -> None:
    sample = SAMPLE_JOBS[name]()
    expected = await traced(sample)
    for seed in range(5):
        events = sample.events()
        random.Random(seed).shuffle(events)
        assert await traced(sample, events) == expected


@pytest.mark.parametrize("until", [1_000, 3])
@pytest.mark.parametrize("name", SAMPLE_JOBS)
async def test_facts_of_an_executor_of_the_version_before_give_the_same_trace(name: str, until: int) -> None:
    expected = await traced(SAMPLE_JOBS[name]())
    sample = SAMPLE_JOBS[name]().by_earlier_executor(until)
    for seed in range(5):
        events = sample.events()
        random.Random(seed).shuffle(events)
        found = await traced(sample, events)
        found.job.step_count = expected.job.step_count
        assert found == expected


@pytest.mark.parametrize("name", SAMPLE_JOBS)
async def test_reasons_of_a_selector_of_the_version_before_stand_as_it_wrote_them(name: str) -> None:
    trace = await traced(SAMPLE_JOBS[name]().by_earlier_selector())
    assert trace.degradation == health_service_pb2.DEGRADATION_LEVEL_NONE
    for step in trace.steps:
        for attempt in step.attempts:
            if attempt.kind != trace_service_pb2.TRACE_ATTEMPT_KIND_REWORK and attempt.HasField("execution"):
                assert attempt.selection.reason in step.story


async def test_while_a_job_runs_its_steps_tell_how_far_it_is() -> None:
    sample = JobBuilder("running", "chart", "image").job(job_pb2.JOB_STATE_RUNNING)
    sample.steps["chart"].cost_micro_usd = 7
    sample.step("chart", job_pb2.STEP_STATE_SUCCEEDED, 1).step("image", job_pb2.STEP_STATE_RUNNING, 1)
    trace = await traced(sample)
    assert (trace.job.progress, trace.job.cost_micro_usd) == (0.5, 7)
    assert [step.state for step in trace.steps] == [job_pb2.STEP_STATE_SUCCEEDED, job_pb2.STEP_STATE_RUNNING]


@pytest.mark.parametrize("name", SAMPLE_JOBS)
async def test_a_trace_is_not_complete_before_each_step_told_its_end(name: str) -> None:
    sample = SAMPLE_JOBS[name]()
    for event in sample.events():
        if event.type == facts_pb2.StepChanged.DESCRIPTOR.full_name:
            assert not (await traced(sample, [each for each in sample.events() if each != event])).complete


@pytest.mark.parametrize("name", SAMPLE_JOBS)
async def test_a_trace_is_not_complete_before_the_steps_are_listed(name: str) -> None:
    sample = SAMPLE_JOBS[name]()
    unreported = [event for event in sample.events()[1:] if not event.type.endswith("StepChanged")]
    assert not (await traced(sample, unreported)).complete


@pytest.mark.parametrize("name", SAMPLE_JOBS)
async def test_an_ended_job_whose_facts_arrived_is_complete(name: str) -> None:
    assert (await traced(SAMPLE_JOBS[name]())).complete


async def test_an_attempt_under_way_is_told() -> None:
    sample = SAMPLE_JOBS["success"]()
    trace = await traced(sample, sample.events()[:2])
    assert trace.story.startswith("Job “Sign-in specification” is under way.")
    assert "Attempt 1 is under way with matplotlib_chart@local" in trace.steps[0].story


async def test_a_choice_that_another_one_replaced_is_told_as_such() -> None:
    sample = JobBuilder("replaced", "chart").job(job_pb2.JOB_STATE_PENDING)
    sample.selection("chart", 1, CHART, f"{CHART}: rung 1 of the ladder", ranked=[ranked(CHART, 1)])
    sample.execution("chart", 1, CHART, selection_id=sample.id("selection", "chart", 2))
    sample.step("chart", job_pb2.STEP_STATE_SUCCEEDED, 1).job(job_pb2.JOB_STATE_COMPLETED)
    story = (await traced(sample)).steps[0].story
    assert f"{CHART} had been chosen for attempt 1 before; another choice replaced that." in story
    assert "did not come to an end" not in story


async def test_each_attempt_is_linked_to_its_span() -> None:
    trace = await traced(SAMPLE_JOBS["rework"]())
    spans = [(attempt.trace_id, attempt.span_id) for attempt in trace.steps[0].attempts]
    assert spans == [(trace.job.trace_id, f"{number:016x}") for number in (1, 2)]


async def test_policy_verdicts_cover_all_that_policy_was_asked() -> None:
    [attempt] = (await traced(SAMPLE_JOBS["policy_denial"]())).steps[0].attempts
    assert [(v.capability_id, v.allowed, v.code) for v in attempt.policy_verdicts] == [
        ("sd@local", True, ""),
        ("dalle3@openai", False, "CLASSIFICATION_NOT_ALLOWED"),
    ]


def test_the_example_of_the_page_is_a_trace() -> None:
    page = (DOCS / "decision_trace.md").read_text(encoding="utf-8")
    example = page.partition("```json\n")[2].partition("```")[0]
    trace = Parse(example, trace_service_pb2.DecisionTrace(), ignore_unknown_fields=False)
    assert json.loads(as_json(trace)) == json.loads(example)
    assert example.strip() == (GOLDEN / "fallback.json").read_text(encoding="utf-8").strip()


def test_the_page_names_every_field_of_a_trace() -> None:
    page = (DOCS / "decision_trace.md").read_text(encoding="utf-8")
    own = [
        trace_service_pb2.DecisionTrace, trace_service_pb2.TraceStep, trace_service_pb2.TraceAttempt,
        trace_service_pb2.TraceTotals, trace_service_pb2.TraceTimes, trace_service_pb2.TraceCost,
        trace_service_pb2.TracePolicyVerdict, trace_service_pb2.TraceEvent,
    ]  # fmt: skip
    missing = {f"{m.DESCRIPTOR.name}.{f.name}" for m in own for f in m.DESCRIPTOR.fields if f"`{f.name}`" not in page}
    assert missing == set()
