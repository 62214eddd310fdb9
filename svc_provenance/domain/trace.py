"""Joins the facts of a job into one story."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from svc_provenance.domain.job_facts import JobFacts, JobProgress, Totals, totals_of
from svc_provenance.domain.model import AttemptKind, StepState, since_ms
from svc_provenance.domain.trace_story import job_story, step_story

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mesh.degradation import DegradationLevel
    from svc_provenance.domain.model import (
        Attempt,
        EvaluationSummary,
        Fact,
        JobSummary,
        Kind,
        SelectionSummary,
        StepSummary,
    )

STANDARD = "STANDARD"


@dataclass(frozen=True)
class AttemptTrace:
    """One attempt with the facts that belong to it; None where there is none.

    `selection` is the one that was made for it, `ready_ms` when all was there that it needed, in milliseconds since
    1970, 0 when unknown.
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
        """The failure or the verdict that led to it, for people; empty on a first choice."""
        if self.execution is not None:
            return self.execution.cause
        return self.selection.fallback_reason if self.selection else ""

    @property
    def queue_ms(self) -> int | None:
        """Time from when all was there that it needed to its start; None where it is unknown."""
        return since_ms(self.ready_ms, self.execution.started_ms) if self.execution else None


@dataclass(frozen=True)
class StepTrace:
    """One step; `story` is a paragraph for people."""

    step: StepSummary
    attempts: tuple[AttemptTrace, ...]
    story: str


@dataclass(frozen=True)
class Trace:
    """The joined story. `complete` when the job ended and every fact that another names has arrived.

    `degradation` is the worst level that a selection saw, None without one; `confidence` the share of attempts that
    were accepted. `progress` is None where the job's own fact says it.
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


def join(facts: Iterable[Fact]) -> Trace:
    """The story of a job, in whatever order its facts arrived."""
    return trace_of(JobFacts(facts))


def trace_of(facts: JobFacts) -> Trace:
    """The story of a job whose facts stand in their order."""
    totals = totals_of(facts)
    attempts = list(facts.attempts.values())
    trace_ids = {a.trace_id for a in attempts} | {facts.job.trace_id if facts.job else ""}
    levels = [selection.degradation_level for selection in facts.selections.values()]
    return Trace(
        job=facts.job,
        steps=tuple(_step(step, facts) for step in facts.steps),
        totals=totals,
        policy_ids=tuple(sorted({s.policy_id for s in facts.selections.values()} - {""})),
        trace_ids=tuple(sorted(trace_ids - {""})),
        complete=facts.ended and not facts.missing(),
        story=job_story(facts, totals),
        degradation=max(levels, key=lambda level: level.severity, default=None),
        confidence=sum(attempt.accepted for attempt in attempts) / len(attempts) if attempts else None,
        progress=facts.progress,
    )


def _step(step: StepSummary, facts: JobFacts) -> StepTrace:
    described: set[str] = set()
    traces = []
    before: Attempt | None = None
    for attempt in facts.attempts_of(step.step_id):
        own = facts.selections.get(attempt.selection_id) if attempt.selection_id not in described else None
        described.add(attempt.selection_id)
        traces.append(_attempt(attempt, own, before, facts))
        before = attempt
    traces += [
        AttemptTrace(selection.attempt, execution=None, selection=selection)
        for selection in facts.unused_of(step.step_id)
    ]
    return StepTrace(step, tuple(traces), step_story(step, facts))


def _attempt(attempt: Attempt, own: SelectionSummary | None, before: Attempt | None, facts: JobFacts) -> AttemptTrace:
    return AttemptTrace(
        number=attempt.attempt,
        execution=attempt,
        selection=own,
        evaluation=facts.evaluations.get(attempt.evaluation_id),
        asset_ids=tuple(id_ for id_ in attempt.asset_ids if id_ in facts.assets),
        ready_ms=_ready_ms(own, before, facts),
    )


def _ready_ms(own: SelectionSummary | None, before: Attempt | None, facts: JobFacts) -> int:
    """When all was there that an attempt needed: its selection, or the verdict that sent the one before back."""
    if own is not None:
        return own.decided_ms
    verdict = facts.evaluations.get(before.evaluation_id) if before else None
    return verdict.judged_ms if verdict else 0


def documents(facts: Sequence[Fact], kind: Kind) -> dict[str, bytes]:
    """The documents of one kind by id."""
    return {fact.fact_id: fact.document for fact in facts if fact.kind is kind}
