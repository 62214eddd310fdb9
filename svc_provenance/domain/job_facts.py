"""The facts of a job by kind, how they belong together, and their sums."""

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

    from svc_provenance.domain.model import Fact

OfStep = TypeVar("OfStep", Attempt, SelectionSummary)


@dataclass(frozen=True)
class Totals:
    """Sums over all attempts; `mean_quality` over accepted ones that were judged; None where nothing is known."""

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
    """How far a job is by its steps: the share that ended, in [0, 1], and the cost in millionths of a US dollar."""

    share: float
    cost_micro_usd: int


@dataclass(frozen=True)
class _ToldStep:
    """A step with the number of the fact that told it; `own` where that fact is the step's."""

    step: StepSummary
    sequence: int
    own: bool

    def is_newer_than(self, other: _ToldStep) -> bool:
        """Whether it holds over another word of the same step."""
        return (self.sequence, self.own) >= (other.sequence, other.own)


class JobFacts:
    """What is known of a job."""

    def __init__(self, facts: Iterable[Fact]) -> None:
        self.selections: dict[str, SelectionSummary] = {}
        self.attempts: dict[str, Attempt] = {}
        self.evaluations: dict[str, EvaluationSummary] = {}
        self.assets: dict[str, AssetSummary] = {}
        self.job: JobSummary | None = None
        self._job_sequence = 0
        self._told: dict[str, _ToldStep] = {}
        for fact in facts:
            self._add(fact)
        used = {attempt.selection_id for attempt in self.attempts.values()}
        unused = [selection for selection in self.selections.values() if selection.selection_id not in used]
        self._attempts_of = _by_step(sorted(self.attempts.values(), key=lambda a: a.attempt))
        self._unused_of = _by_step(sorted(unused, key=lambda s: (s.attempt, s.selection_id)))
        self.steps: Sequence[StepSummary] = self._all_steps()
        """Steps in the order of the plan; last those that only attempts and selections name, by their names."""

    def _add(self, fact: Fact) -> None:
        match fact.summary:
            case SelectionSummary() as selection:
                self.selections[selection.selection_id] = selection
            case Attempt() as attempt:
                self.attempts[attempt.execution_id] = attempt
            case EvaluationSummary() as evaluation:
                self.evaluations[evaluation.evaluation_id] = evaluation
            case AssetSummary() as asset:
                self.assets[asset.asset_id] = asset
            case StepSummary() as step:
                self._add_step(_ToldStep(step, fact.sequence, own=True))
            case JobSummary() as job:
                self.job, self._job_sequence = job, fact.sequence
                for step in job.steps:
                    self._add_step(_ToldStep(step, fact.sequence, own=False))

    def _add_step(self, told: _ToldStep) -> None:
        known = self._told.get(told.step.step_id)
        if known is None or told.is_newer_than(known):
            self._told[told.step.step_id] = told

    def _all_steps(self) -> Sequence[StepSummary]:
        told = sorted((each.step for each in self._told.values()), key=lambda step: (step.step_index, step.step_id))
        types = {step_id: attempts[0].step_type for step_id, attempts in self._attempts_of.items()}
        named = sorted({*types, *self._unused_of, *(s.step_id for s in self.selections.values())} - {*self._told})
        return [*told, *(StepSummary(name, types.get(name, ""), StepState.UNKNOWN) for name in named)]

    @property
    def ended(self) -> bool:
        """Whether the job ended, as far as it is known."""
        return self.job is not None and self.job.ended

    @property
    def progress(self) -> JobProgress | None:
        """How far the job is where one of its steps changed after its own last fact; None where that fact says it."""
        if self.job is None or all(told.sequence <= self._job_sequence for told in self._told.values()):
            return None
        steps = [told.step for told in self._told.values()]
        ended = sum(step.state.ended for step in steps)
        return JobProgress(ended / max(len(steps), self.job.step_count), sum(step.cost_micro_usd for step in steps))

    def missing(self) -> bool:
        """True while a fact is named that has not arrived."""
        for attempt in self.attempts.values():
            named = (attempt.selection_id, self.selections), (attempt.evaluation_id, self.evaluations)
            if any(id_ and id_ not in facts for id_, facts in named):
                return True
            if any(id_ not in self.assets for id_ in attempt.asset_ids):
                return True
        return any(map(self._is_behind, self._told.values())) or len(self._told) < (
            self.job.step_count if self.job else 0
        )

    def _is_behind(self, told: _ToldStep) -> bool:
        """Whether a step had more attempts than arrived, or ended with its job without its own fact having arrived."""
        if len(self.attempts_of(told.step.step_id)) < told.step.attempts:
            return True
        return self.ended and told.sequence < self._job_sequence and not told.step.state.ended

    def attempts_of(self, step_id: str) -> Sequence[Attempt]:
        """Attempts of a step in their order."""
        return self._attempts_of.get(step_id, ())

    def unused_of(self, step_id: str) -> Sequence[SelectionSummary]:
        """Selections for a step that no attempt names, oldest first: fruitless ones, and one that is being used."""
        return self._unused_of.get(step_id, ())


def _by_step(items: Iterable[OfStep]) -> dict[str, list[OfStep]]:
    found: dict[str, list[OfStep]] = {}
    for item in items:
        found.setdefault(item.step_id, []).append(item)
    return found


def totals_of(facts: JobFacts) -> Totals:
    """The sums of a job."""
    attempts, selections = list(facts.attempts.values()), list(facts.selections.values())
    evaluations = list(facts.evaluations.values())
    judged = [a.quality for a in attempts if a.quality is not None and a.accepted]
    kinds = [attempt.kind for attempt in attempts]
    job = facts.job
    began = job.created_ms if job else 0
    return Totals(
        attempts=len(attempts),
        fallbacks=kinds.count(AttemptKind.FALLBACK),
        reworks=kinds.count(AttemptKind.REWORK),
        cost_micro_usd=sum(a.cost_micro_usd for a in attempts),
        provider_ms=sum(a.latency_ms for a in attempts),
        mean_quality=sum(judged) / len(judged) if judged else None,
        failures=sum(a.failed for a in attempts),
        reserved_micro_usd=sum(selection.reserved_micro_usd for selection in selections),
        evaluation_micro_usd=sum(evaluation.cost_micro_usd for evaluation in evaluations),
        evaluation_ms=sum(evaluation.elapsed_ms for evaluation in evaluations),
        queue_ms=since_ms(began, job.started_ms) if job else None,
        elapsed_ms=since_ms(began, job.ended_ms) if job else None,
        policy_denials=sum(len(selection.rejected_by(Judgement.POLICY)) for selection in selections),
        budget_denials=sum(len(selection.rejected_by(Judgement.BUDGET)) for selection in selections),
    )
