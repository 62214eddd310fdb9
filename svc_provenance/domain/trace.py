"""Joins the facts of a job into one story."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from svc_provenance.domain.job_facts import ACCEPTED, JobFacts, Totals, totals_of
from svc_provenance.domain.trace_story import job_story, step_story

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from svc_provenance.domain.model import Attempt, Fact, JobSummary, Kind, SelectionSummary, StepSummary

__all__ = [
    "ACCEPTED",
    "STANDARD",
    "SUCCEEDED",
    "AttemptKind",
    "AttemptTrace",
    "Costs",
    "StepTrace",
    "Times",
    "Totals",
    "Trace",
]

STANDARD = "STANDARD"
SUCCEEDED = "succeeded"
_LEVELS = ("NONE", "MINOR", "MODERATE", "SEVERE", "CRITICAL", "UNKNOWN")


class AttemptKind(StrEnum):
    """Why there was an attempt."""

    FIRST = "first"
    FALLBACK = "fallback"
    REWORK = "rework"
    NO_CHOICE = "no_choice"


@dataclass(frozen=True)
class Costs:
    """What an attempt cost, in millionths of a US dollar."""

    reserved_micro_usd: int = 0
    settled_micro_usd: int = 0
    evaluation_micro_usd: int = 0


@dataclass(frozen=True)
class Times:
    """Where the time of an attempt went, in milliseconds, the selection's in microseconds; None where unknown."""

    queue_ms: int | None = None
    selection_us: int | None = None
    provider_ms: int | None = None
    evaluation_ms: int | None = None
    mesh_ms: int | None = None


@dataclass(frozen=True)
class AttemptTrace:
    """One attempt by its facts' ids; empty where there is none."""

    attempt: int
    selection_id: str
    execution_id: str
    evaluation_id: str
    asset_ids: tuple[str, ...]
    kind: AttemptKind = AttemptKind.FIRST
    cause: str = ""
    costs: Costs = Costs()
    times: Times = Times()
    trace_id: str = ""
    span_id: str = ""


@dataclass(frozen=True)
class StepTrace:
    """One step; `story` is a paragraph for people."""

    note: StepSummary
    attempts: tuple[AttemptTrace, ...]
    story: str


@dataclass(frozen=True)
class Trace:
    """The joined story. `complete` when the job ended and every fact that another names has arrived.

    `degradation` is the worst level that a selection saw, `confidence` the share of attempts that were accepted.
    """

    run: JobSummary | None
    steps: tuple[StepTrace, ...]
    totals: Totals
    policy_ids: tuple[str, ...]
    trace_ids: tuple[str, ...]
    complete: bool
    story: str = ""
    degradation: str = ""
    confidence: float | None = None
    path: str = STANDARD


def join(facts: Iterable[Fact]) -> Trace:
    """The story of a job, in whatever order its facts arrived."""
    known = JobFacts(facts)
    totals = totals_of(known)
    attempts = list(known.attempts.values())
    accepted = sum(attempt.status == ACCEPTED for attempt in attempts)
    trace_ids = {a.trace_id for a in attempts} | {known.run.trace_id if known.run else ""}
    levels = {choice.degradation for choice in known.selections.values()} & set(_LEVELS)
    return Trace(
        run=known.run,
        steps=tuple(_step(note, known) for note in known.notes()),
        totals=totals,
        policy_ids=tuple(sorted({c.policy_id for c in known.selections.values()} - {""})),
        trace_ids=tuple(sorted(trace_ids - {""})),
        complete=known.run is not None and known.run.ended and not known.missing(),
        story=job_story(known, totals),
        degradation=max(levels, key=_LEVELS.index, default=""),
        confidence=accepted / len(attempts) if attempts else None,
    )


def _step(note: StepSummary, known: JobFacts) -> StepTrace:
    attempts = known.attempts_of(note.step_id)
    described: set[str] = set()
    stories = []
    before: Attempt | None = None
    for attempt in attempts:
        own = known.selections.get(attempt.selection_id) if attempt.selection_id not in described else None
        described.add(attempt.selection_id)
        stories.append(_attempt(attempt, own, before, known))
        before = attempt
    stories += [_choice(choice) for choice in known.unused_of(note.step_id)]
    return StepTrace(note, tuple(stories), step_story(note, known))


def _attempt(attempt: Attempt, own: SelectionSummary | None, before: Attempt | None, known: JobFacts) -> AttemptTrace:
    verdict = known.verdicts.get(attempt.evaluation_id)
    kind, cause = AttemptKind.FIRST, ""
    if attempt.rework_reason:
        kind, cause = AttemptKind.REWORK, attempt.rework_reason
    elif attempt.fallback_reason:
        kind, cause = AttemptKind.FALLBACK, attempt.fallback_reason
    return AttemptTrace(
        attempt=attempt.attempt,
        selection_id=own.selection_id if own else "",
        execution_id=attempt.execution_id,
        evaluation_id=attempt.evaluation_id,
        asset_ids=tuple(id_ for id_ in attempt.asset_ids if id_ in known.assets),
        kind=kind,
        cause=cause,
        costs=Costs(
            own.reserved_micro_usd if own else 0, attempt.cost_micro_usd, verdict.cost_micro_usd if verdict else 0
        ),
        times=Times(
            queue_ms=_since(_ready(own, before, known), attempt.started_ms),
            selection_us=own.elapsed_us if own else None,
            provider_ms=attempt.latency_ms,
            evaluation_ms=verdict.elapsed_ms if verdict else None,
            mesh_ms=_mesh_ms(attempt),
        ),
        trace_id=attempt.trace_id,
        span_id=attempt.span_id,
    )


def _choice(choice: SelectionSummary) -> AttemptTrace:
    """A selection that no attempt tells of: nothing was left, or its attempt has not ended."""
    kind = AttemptKind.FALLBACK if choice.fallback_reason else AttemptKind.FIRST
    return AttemptTrace(
        attempt=choice.attempt,
        selection_id=choice.selection_id,
        execution_id="",
        evaluation_id="",
        asset_ids=(),
        kind=kind if choice.chosen else AttemptKind.NO_CHOICE,
        cause=choice.fallback_reason,
        costs=Costs(reserved_micro_usd=choice.reserved_micro_usd),
        times=Times(selection_us=choice.elapsed_us),
    )


def _ready(own: SelectionSummary | None, before: Attempt | None, known: JobFacts) -> int:
    """When all was there that an attempt needed: its choice, or the verdict that sent it back."""
    if own is not None:
        return own.decided_ms
    verdict = known.verdicts.get(before.evaluation_id) if before else None
    return verdict.judged_ms if verdict else 0


def _since(start_ms: int, end_ms: int) -> int | None:
    return max(0, end_ms - start_ms) if start_ms and end_ms else None


def _mesh_ms(attempt: Attempt) -> int | None:
    whole = _since(attempt.started_ms, attempt.ended_ms)
    return None if whole is None else max(0, whole - attempt.latency_ms)


def documents(facts: Sequence[Fact], kind: Kind) -> dict[str, bytes]:
    """The documents of one kind by id."""
    return {fact.fact_id: fact.document for fact in facts if fact.kind is kind}
