"""Traces of jobs with thousands of attempts: joined in linear time, drawn in threads, within bounds."""

from __future__ import annotations

import asyncio
import threading
from contextlib import aclosing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mesh.rpc.params_truncation import ANSWER_BYTES, OMITTED
from mesh.rpc.wellknown import json_object
from mesh.testing import FakeClock
from mesh.testing.contract import eventually
from soma.executor.v1 import job_pb2
from soma.selector.v1 import selection_pb2
from svc_provenance.app.traces import Traces
from svc_provenance.app.watch import WatchTiming
from svc_provenance.domain.model import (
    Attempt,
    AttemptStatus,
    EntryKind,
    JobSummary,
    SelectionSummary,
    StepState,
    StepSummary,
    TraceEntry,
)
from svc_provenance.domain.trace import build_trace
from svc_provenance.rpc.convert.traces import snapshot_to_proto, trace_to_proto
from tests.in_memory.provenance import MemoryProvenanceStore
from tests.unit.provenance.sample_jobs import success
from tests.unit.provenance.test_watch import WatchHarness

if TYPE_CHECKING:
    from collections.abc import Sequence

    from svc_provenance.app.watch import TraceSnapshot
    from svc_provenance.domain.model import Summary
    from svc_provenance.domain.trace import Trace

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ATTEMPTS = 20
"""Attempts of each step."""
DRAWING_S = 2.0


class Counted:
    """Counts how often anything is read of any of its kind."""

    reads = 0

    def __getattribute__(self, name: str) -> object:
        Counted.reads += 1
        return super().__getattribute__(name)


class CountedAttempt(Counted, Attempt):
    """An attempt whose reads count."""


class CountedChoice(Counted, SelectionSummary):
    """A selection whose reads count."""


def fact(kind: EntryKind, fact_id: str, summary: Summary, document: bytes = b"", job_id: str = "j") -> TraceEntry:
    return TraceEntry(kind, fact_id, job_id, NOW, summary, document)


def job_of(steps: int) -> list[TraceEntry]:
    """An ended job whose steps had attempts, each with its selection and with one that no attempt names."""
    listed = tuple(StepSummary(f"s{step}", "t", StepState.SUCCEEDED, ATTEMPTS) for step in range(steps))
    facts = [fact(EntryKind.JOB, "j", JobSummary("j", "completed", ended=True, steps=listed))]
    for step in listed:
        for number in range(1, ATTEMPTS + 1):
            name = f"{step.step_id}-{number}"
            made = CountedAttempt(
                name,
                step.step_id,
                "t",
                number,
                "t@p",
                AttemptStatus.FAILED,
                selection_id=name,
                fallback_reason="TIMEOUT",
            )
            facts.append(fact(EntryKind.EXECUTION, name, made))
            choices = (CountedChoice(id_, step.step_id, number, "t@p", "why") for id_ in (name, f"{name}-unused"))
            facts += [fact(EntryKind.SELECTION, choice.selection_id, choice) for choice in choices]
    return facts


def reads_of_joining(steps: int) -> int:
    facts = job_of(steps)
    Counted.reads = 0
    trace = build_trace(facts)
    assert (trace.complete, trace.totals.attempts, len(trace.steps[0].attempts)) == (True, steps * ATTEMPTS, 40)
    return Counted.reads


def test_twice_as_many_steps_are_twice_the_work() -> None:
    assert reads_of_joining(200) <= 2.1 * reads_of_joining(100)


def asked_and_done(attempts: int) -> list[TraceEntry]:
    """A job whose selections and attempts have as large parameters as are kept."""
    facts: list[TraceEntry] = []
    for number in range(1, attempts + 1):
        selection = selection_pb2.Selection(selection_id=f"s{number}")
        execution = job_pb2.Execution(execution_id=f"x{number}")
        selection.requirements.params.update({"a": "x" * 15_000})
        execution.params.update({"a": "x" * 15_000})
        choice = SelectionSummary(f"s{number}", "step", number, "t@p", "why")
        attempt = Attempt(f"x{number}", "step", "t", number, "t@p", AttemptStatus.FAILED, selection_id=f"s{number}")
        facts += [
            fact(EntryKind.SELECTION, choice.selection_id, choice, selection.SerializeToString()),
            fact(EntryKind.EXECUTION, attempt.execution_id, attempt, execution.SerializeToString()),
        ]
    return facts


def test_the_parameters_of_a_trace_share_one_room() -> None:
    facts = asked_and_done(40)
    attempts = trace_to_proto("j", build_trace(facts), facts).steps[0].attempts
    whole = [attempt for attempt in attempts if attempt.selection.requirements.params.fields]
    assert len(whole) == ANSWER_BYTES // 15_030 // 2
    assert [attempt.attempt for attempt in whole] == [*range(1, len(whole) + 1)]
    last = attempts[-1]
    size = whole[0].execution.params.ByteSize()
    assert json_object(last.execution.params) == {OMITTED: {"size_bytes": size}}
    assert last.selection.params_omitted.size_bytes == size


class SlowDrawing:
    """A drawing that takes its time by a clock, and notes the threads it ran in."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.threads: list[int] = []

    def __call__(self, job_id: str, trace: Trace, facts: Sequence[TraceEntry]) -> TraceSnapshot:
        self._clock._elapsed += DRAWING_S
        self.threads.append(threading.get_ident())
        return snapshot_to_proto(job_id, trace, facts)


async def test_a_burst_of_facts_is_drawn_once_the_watch_has_rested() -> None:
    tale, clock = success(), FakeClock()
    timing = WatchTiming()
    draw = SlowDrawing(clock)
    harness = WatchHarness(timing, draw=draw, clock=clock)
    await harness.tell(tale.events()[0])
    async with aclosing(harness.stream(tale.job_id)) as stream:  # type: ignore[type-var]
        await anext(stream)
        for number in range(1_000):
            choice = SelectionSummary(f"s{number}", "chart", number, "t@p", "why")
            made = fact(EntryKind.SELECTION, choice.selection_id, choice, job_id=tale.job_id)
            await harness.store.add_entries(None, "acme", [made])
            await asyncio.sleep(0)
        assert await clock.sleeper() == timing.pause_factor * DRAWING_S
        assert len(draw.threads) == 1
        await clock.advance(timing.pause_factor * DRAWING_S)
        await eventually(lambda: len(draw.threads) == 2)
    assert threading.get_ident() not in draw.threads


async def test_facts_that_did_not_change_are_not_drawn_again() -> None:
    tale, clock = success(), FakeClock()
    draw = SlowDrawing(clock)
    harness = WatchHarness(WatchTiming(pause_factor=0.0, debounce_s=0.0), draw=draw, clock=clock)
    await harness.tell(tale.events()[0])
    async with aclosing(harness.stream(tale.job_id)) as stream:  # type: ignore[type-var]
        await anext(stream)
        reads = harness.reads
        harness.store.on_entry(tale.job_id)
        await eventually(lambda: harness.reads > reads)
        harness.store.on_entry(tale.job_id)
        await eventually(lambda: harness.reads > reads + 1)
    assert len(draw.threads) == 1


class Drawing:
    """A drawing that goes on until it is let go."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.go_on = threading.Event()

    def __call__(self, job_id: str, trace: Trace, facts: Sequence[TraceEntry]) -> str:
        self.begun.append(job_id)
        assert self.go_on.wait(30)
        return job_id


async def test_one_trace_of_a_tenant_is_read_at_a_time_and_others_have_their_turn() -> None:
    record, draw = MemoryProvenanceStore(), Drawing()
    for tenant, job in (("greedy", "g1"), ("greedy", "g2"), ("innocent", "i")):
        running = fact(EntryKind.JOB, job, JobSummary(job, "running", ended=False), job_id=job)
        await record.add_entries(None, tenant, [running])
    traces = Traces(record)
    greedy = [asyncio.create_task(traces.get("greedy", job, draw)) for job in ("g1", "g2")]
    await eventually(lambda: draw.begun == ["g1"])
    innocent = asyncio.create_task(traces.get("innocent", "i", draw))
    await eventually(lambda: draw.begun == ["g1", "i"])
    greedy[0].cancel()
    for _ in range(10):
        await asyncio.sleep(0)
    begun = list(draw.begun)
    held = traces._slots.in_use, traces._slots.waiting
    draw.go_on.set()
    assert await asyncio.gather(greedy[1], innocent) == ["g2", "i"]
    assert (begun, held) == (["g1", "i"], (2, 1))
