"""Joins the entries of a job's trace."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from svc_provenance.domain.job_entries import JobEntries, JobProgress, Totals, totals_of
from svc_provenance.domain.model import AttemptKind, StepState, since_ms
from svc_provenance.domain.trace_story import job_story, step_story

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mesh.degradation import DegradationLevel
    from svc_provenance.domain.model import (
        Attempt,
        EntryKind,
        EvaluationSummary,
        JobSummary,
        SelectionSummary,
        StepSummary,
        TraceEntry,
    )

STANDARD = "STANDARD"


@dataclass(frozen=True)
class AttemptTrace:
    """One attempt with the entries that belong to it; None where there is none.

    `selection` is the one that was made for it; `ready_ms` is when the attempt could start, in milliseconds since 1970,
    0 when unknown.
    """

    number: int
    execution: Attempt | None
    selection: SelectionSummary | None
    evaluation: EvaluationSummary | None = None
    asset_ids: tuple[str, ...] = ()
    ready_ms: int = 0

    @property
    def kind(self) -> AttemptKind:
        """Why there was this attempt; of one that has not ended, by its selection."""
        if self.execution is not None:
            return self.execution.kind
        if self.selection is None or not self.selection.chosen:
            return AttemptKind.NO_CHOICE
        return AttemptKind.FALLBACK if self.selection.fallback_reason else AttemptKind.FIRST

    @property
    def cause(self) -> str:
        """The failure or the evaluation that led to it, for people; empty for a first attempt."""
        if self.execution is not None:
            return self.execution.cause
        return self.selection.fallback_reason if self.selection else ""

    @property
    def queue_ms(self) -> int | None:
        """Time from when it could start to its start; None where it is unknown."""
        return since_ms(self.ready_ms, self.execution.started_ms) if self.execution else None


@dataclass(frozen=True)
class StepTrace:
    """One step; `story` is a paragraph for people."""

    step: StepSummary
    attempts: tuple[AttemptTrace, ...]
    story: str


@dataclass(frozen=True)
class Trace:
    """The joined entries of a job. `complete` when the job ended and every entry that another names has arrived.

    `degradation` is the worst level that a selection saw, None without one; `confidence` the share of attempts that
    were accepted. `progress` is None where the job's own entry has it.
    """

    job: JobSummary | None
    steps: tuple[StepTrace, ...]
    totals: Totals
    policy_ids: tuple[str, ...]
    trace_ids: tuple[str, ...]
    complete: bool
    story: str = ""
    degradation: DegradationLevel | None = None
    confidence: float | None = None
    path: str = STANDARD
    progress: JobProgress | None = None

    @property
    def all_succeeded(self) -> bool:
        """Whether every step succeeded."""
        return all(each.step.state == StepState.SUCCEEDED for each in self.steps)


def build_trace(trace_entries: Iterable[TraceEntry]) -> Trace:
    """Returns the trace of a job, in whatever order its entries arrived."""
    entries = JobEntries(trace_entries)
    totals = totals_of(entries)
    attempts = list(entries.attempts.values())
    trace_ids = {a.trace_id for a in attempts} | {entries.job.trace_id if entries.job else ""}
    levels = [selection.degradation_level for selection in entries.selections.values()]
    return Trace(
        job=entries.job,
        steps=tuple(_step(step, entries) for step in entries.steps),
        totals=totals,
        policy_ids=tuple(sorted({s.policy_id for s in entries.selections.values()} - {""})),
        trace_ids=tuple(sorted(trace_ids - {""})),
        complete=entries.ended and not entries.has_missing(),
        story=job_story(entries, totals),
        degradation=max(levels, key=lambda level: level.severity, default=None),
        confidence=sum(attempt.accepted for attempt in attempts) / len(attempts) if attempts else None,
        progress=entries.progress,
    )


def _step(step: StepSummary, entries: JobEntries) -> StepTrace:
    described: set[str] = set()
    traces = []
    before: Attempt | None = None
    for attempt in entries.attempts_of(step.step_id):
        own = entries.selections.get(attempt.selection_id) if attempt.selection_id not in described else None
        described.add(attempt.selection_id)
        traces.append(_attempt(attempt, own, before, entries))
        before = attempt
    traces += [
        AttemptTrace(selection.attempt, execution=None, selection=selection)
        for selection in entries.selections_without_attempt(step.step_id)
    ]
    return StepTrace(step, tuple(traces), step_story(step, entries))


def _attempt(
    attempt: Attempt, own: SelectionSummary | None, before: Attempt | None, entries: JobEntries
) -> AttemptTrace:
    return AttemptTrace(
        number=attempt.attempt,
        execution=attempt,
        selection=own,
        evaluation=entries.evaluations.get(attempt.evaluation_id),
        asset_ids=tuple(id_ for id_ in attempt.asset_ids if id_ in entries.assets),
        ready_ms=_ready_ms(own, before, entries),
    )


def _ready_ms(own: SelectionSummary | None, before: Attempt | None, entries: JobEntries) -> int:
    """Returns when an attempt could start: after its selection, or the evaluation that rejected the one before."""
    if own is not None:
        return own.decided_ms
    evaluation = entries.evaluations.get(before.evaluation_id) if before else None
    return evaluation.judged_ms if evaluation else 0


def documents_by_id(entries: Sequence[TraceEntry], kind: EntryKind) -> dict[str, bytes]:
    """Returns the documents of one kind by id."""
    return {entry.entry_id: entry.document for entry in entries if entry.kind is kind}
