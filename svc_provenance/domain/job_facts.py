"""The facts of a job by kind, how they belong together, and their sums."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from svc_provenance.domain.model import (
    AssetSummary,
    Attempt,
    EvaluationSummary,
    JobSummary,
    SelectionSummary,
    StepSummary,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from svc_provenance.domain.model import Fact

OfStep = TypeVar("OfStep", Attempt, SelectionSummary)
ACCEPTED, FAILED = "succeeded", "failed"


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


class JobFacts:
    """What is known of a job."""

    def __init__(self, facts: Iterable[Fact]) -> None:
        self.selections: dict[str, SelectionSummary] = {}
        self.attempts: dict[str, Attempt] = {}
        self.verdicts: dict[str, EvaluationSummary] = {}
        self.assets: dict[str, AssetSummary] = {}
        self.run: JobSummary | None = None
        for fact in facts:
            self._add(fact)
        used = {attempt.selection_id for attempt in self.attempts.values()}
        unused = [choice for choice in self.selections.values() if choice.selection_id not in used]
        self._attempts_of = _by_step(sorted(self.attempts.values(), key=lambda a: a.attempt))
        self._unused_of = _by_step(sorted(unused, key=lambda c: (c.attempt, c.selection_id)))

    def _add(self, fact: Fact) -> None:
        match fact.summary:
            case SelectionSummary() as choice:
                self.selections[choice.selection_id] = choice
            case Attempt() as attempt:
                self.attempts[attempt.execution_id] = attempt
            case EvaluationSummary() as verdict:
                self.verdicts[verdict.evaluation_id] = verdict
            case AssetSummary() as stored:
                self.assets[stored.asset_id] = stored
            case JobSummary() as run:
                self.run = run

    @property
    def ended(self) -> bool:
        """Whether the job ended, as far as it is known."""
        return self.run is not None and self.run.ended

    def missing(self) -> bool:
        """True while a fact is named that has not arrived."""
        for attempt in self.attempts.values():
            named = (attempt.selection_id, self.selections), (attempt.evaluation_id, self.verdicts)
            if any(id_ and id_ not in known for id_, known in named):
                return True
            if any(id_ not in self.assets for id_ in attempt.asset_ids):
                return True
        steps = self.run.steps if self.run else ()
        return any(len(self.attempts_of(step.step_id)) < step.attempts for step in steps)

    def notes(self) -> Sequence[StepSummary]:
        """Steps in the order of the plan; before the job's own word, in the order of their names."""
        if self.run is not None and self.run.steps:
            return self.run.steps
        types = {attempt.step_id: attempt.step_type for attempt in self.attempts.values()}
        types = {choice.step_id: "" for choice in self.selections.values()} | types
        return [StepSummary(step_id, types[step_id], "") for step_id in sorted(types)]

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


def totals_of(known: JobFacts) -> Totals:
    """The sums of a job."""
    attempts, selections = list(known.attempts.values()), list(known.selections.values())
    judged = [a.quality for a in attempts if a.quality is not None and a.status == ACCEPTED]
    run = known.run
    began = run.created_ms if run else 0
    return Totals(
        attempts=len(attempts),
        fallbacks=sum(bool(a.fallback_reason) and not a.rework_reason for a in attempts),
        reworks=sum(bool(a.rework_reason) for a in attempts),
        cost_micro_usd=sum(a.cost_micro_usd for a in attempts),
        provider_ms=sum(a.latency_ms for a in attempts),
        mean_quality=sum(judged) / len(judged) if judged else None,
        failures=sum(a.status == FAILED for a in attempts),
        reserved_micro_usd=sum(choice.reserved_micro_usd for choice in selections),
        evaluation_micro_usd=sum(verdict.cost_micro_usd for verdict in known.verdicts.values()),
        evaluation_ms=sum(verdict.elapsed_ms for verdict in known.verdicts.values()),
        queue_ms=max(0, run.started_ms - began) if run and began and run.started_ms else None,
        elapsed_ms=max(0, run.ended_ms - began) if run and began and run.ended_ms else None,
        policy_denials=sum(len(choice.policy_denied) for choice in selections),
        budget_denials=sum(len(choice.budget_denied) for choice in selections),
    )
