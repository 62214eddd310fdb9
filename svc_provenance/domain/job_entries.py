"""The entries of a job's trace by kind, how they belong together, and their sums."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from svc_provenance.domain.model import (
    AssetSummary,
    Attempt,
    AttemptKind,
    EvaluationSummary,
    JobSummary,
    Judgement,
    SelectionSummary,
    StepState,
    StepSummary,
    since_ms,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from svc_provenance.domain.model import TraceEntry

OfStep = TypeVar("OfStep", Attempt, SelectionSummary)


@dataclass(frozen=True)
class Totals:
    """Sums over all attempts; `mean_quality` over accepted ones that were evaluated; None where unknown."""

    attempts: int
    fallbacks: int
    reworks: int
    cost_micro_usd: int
    provider_ms: int
    mean_quality: float | None
    failures: int = 0
    reserved_micro_usd: int = 0
    evaluation_micro_usd: int = 0
    evaluation_ms: int = 0
    queue_ms: int | None = None
    elapsed_ms: int | None = None
    policy_denials: int = 0
    budget_denials: int = 0


@dataclass(frozen=True)
class JobProgress:
    """Progress of a job by its steps: the share that ended, in [0, 1], and the cost in millionths of a US dollar."""

    share: float
    cost_micro_usd: int


@dataclass(frozen=True)
class _ReportedStep:
    """A step, with the sequence of the entry that reports it; `own` where that entry is the step's."""

    step: StepSummary
    sequence: int
    own: bool

    def is_newer_than(self, other: _ReportedStep) -> bool:
        """Returns whether it replaces another report of the same step."""
        return (self.sequence, self.own) >= (other.sequence, other.own)


class JobEntries:
    """The entries of one job, by kind and id."""

    def __init__(self, entries: Iterable[TraceEntry]) -> None:
        self.selections: dict[str, SelectionSummary] = {}
        self.attempts: dict[str, Attempt] = {}
        self.evaluations: dict[str, EvaluationSummary] = {}
        self.assets: dict[str, AssetSummary] = {}
        self.job: JobSummary | None = None
        self._job_sequence = 0
        self._steps: dict[str, _ReportedStep] = {}
        for entry in entries:
            self._add(entry)
        used = {attempt.selection_id for attempt in self.attempts.values()}
        unused = [selection for selection in self.selections.values() if selection.selection_id not in used]
        self._attempts_of = _by_step(sorted(self.attempts.values(), key=lambda a: a.attempt))
        self._unused_selections = _by_step(sorted(unused, key=lambda s: (s.attempt, s.selection_id)))
        self.steps: Sequence[StepSummary] = self._all_steps()
        """Steps in the order of the plan; behind them those that only attempts and selections name, by their names."""

    def _add(self, entry: TraceEntry) -> None:
        match entry.summary:
            case SelectionSummary() as selection:
                self.selections[selection.selection_id] = selection
            case Attempt() as attempt:
                self.attempts[attempt.execution_id] = attempt
            case EvaluationSummary() as evaluation:
                self.evaluations[evaluation.evaluation_id] = evaluation
            case AssetSummary() as asset:
                self.assets[asset.asset_id] = asset
            case StepSummary() as step:
                self._add_step(_ReportedStep(step, entry.sequence, own=True))
            case JobSummary() as job:
                self.job, self._job_sequence = job, entry.sequence
                for step in job.steps:
                    self._add_step(_ReportedStep(step, entry.sequence, own=False))

    def _add_step(self, reported: _ReportedStep) -> None:
        earlier = self._steps.get(reported.step.step_id)
        if earlier is None or reported.is_newer_than(earlier):
            self._steps[reported.step.step_id] = reported

    def _all_steps(self) -> Sequence[StepSummary]:
        steps = sorted((each.step for each in self._steps.values()), key=lambda step: (step.step_index, step.step_id))
        types = {step_id: attempts[0].step_type for step_id, attempts in self._attempts_of.items()}
        named = sorted(
            {*types, *self._unused_selections, *(s.step_id for s in self.selections.values())} - {*self._steps}
        )
        return [*steps, *(StepSummary(name, types.get(name, ""), StepState.UNKNOWN) for name in named)]

    @property
    def ended(self) -> bool:
        """Whether the job's own entry says that it ended."""
        return self.job is not None and self.job.ended

    @property
    def progress(self) -> JobProgress | None:
        """Progress by the steps, where one changed after the job's own entry; None where that entry has it."""
        if self.job is None or all(reported.sequence <= self._job_sequence for reported in self._steps.values()):
            return None
        steps = [reported.step for reported in self._steps.values()]
        ended = sum(step.state.ended for step in steps)
        return JobProgress(ended / max(len(steps), self.job.step_count), sum(step.cost_micro_usd for step in steps))

    def has_missing(self) -> bool:
        """Returns whether an entry that another names has not arrived."""
        for attempt in self.attempts.values():
            named = (attempt.selection_id, self.selections), (attempt.evaluation_id, self.evaluations)
            if any(id_ and id_ not in entries for id_, entries in named):
                return True
            if any(id_ not in self.assets for id_ in attempt.asset_ids):
                return True
        return any(map(self._is_behind, self._steps.values())) or len(self._steps) < (
            self.job.step_count if self.job else 0
        )

    def _is_behind(self, reported: _ReportedStep) -> bool:
        """Returns whether attempts of a step are missing, or its own entry from before the end of the job."""
        if len(self.attempts_of(reported.step.step_id)) < reported.step.attempts:
            return True
        return self.ended and reported.sequence < self._job_sequence and not reported.step.state.ended

    def attempts_of(self, step_id: str) -> Sequence[Attempt]:
        """Returns the attempts of a step in their order."""
        return self._attempts_of.get(step_id, ())

    def selections_without_attempt(self, step_id: str) -> Sequence[SelectionSummary]:
        """Returns selections for a step that no attempt names, oldest first; also that of a running attempt."""
        return self._unused_selections.get(step_id, ())


def _by_step(entries: Iterable[OfStep]) -> dict[str, list[OfStep]]:
    by_step: dict[str, list[OfStep]] = {}
    for entry in entries:
        by_step.setdefault(entry.step_id, []).append(entry)
    return by_step


def totals_of(entries: JobEntries) -> Totals:
    """Returns the sums of a job."""
    attempts, selections = list(entries.attempts.values()), list(entries.selections.values())
    evaluations = list(entries.evaluations.values())
    qualities = [a.quality for a in attempts if a.quality is not None and a.accepted]
    kinds = [attempt.kind for attempt in attempts]
    job = entries.job
    created_ms = job.created_ms if job else 0
    return Totals(
        attempts=len(attempts),
        fallbacks=kinds.count(AttemptKind.FALLBACK),
        reworks=kinds.count(AttemptKind.REWORK),
        cost_micro_usd=sum(a.cost_micro_usd for a in attempts),
        provider_ms=sum(a.latency_ms for a in attempts),
        mean_quality=sum(qualities) / len(qualities) if qualities else None,
        failures=sum(a.failed for a in attempts),
        reserved_micro_usd=sum(selection.reserved_micro_usd for selection in selections),
        evaluation_micro_usd=sum(evaluation.cost_micro_usd for evaluation in evaluations),
        evaluation_ms=sum(evaluation.elapsed_ms for evaluation in evaluations),
        queue_ms=since_ms(created_ms, job.started_ms) if job else None,
        elapsed_ms=since_ms(created_ms, job.ended_ms) if job else None,
        policy_denials=sum(len(selection.rejected_by(Judgement.POLICY)) for selection in selections),
        budget_denials=sum(len(selection.rejected_by(Judgement.BUDGET)) for selection in selections),
    )
