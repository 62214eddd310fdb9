"""Receipts: what a job came to, in figures, hashes and pointers; no content."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from mesh.degradation import DegradationLevel
from mesh.ids import derive
from svc_provenance.domain.job_facts import JobFacts
from svc_provenance.domain.model import Attempt, JobSummary, Judgement

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from svc_provenance.domain.model import EvaluationSummary, Fact, SelectionSummary
    from svc_provenance.domain.trace import Trace

REJECTED_CONTENT, POLICY_DENIED = "CONTENT_REJECTED", "POLICY_DENIED"


class Form(StrEnum):
    """Form of a receipt."""

    COMPACT = "compact"
    FULL = "full"


class Cause(StrEnum):
    """Why a receipt is full, or was wanted full."""

    LOW_QUALITY = "low_quality"
    POLICY_DENIED = "policy_denied"
    TOOL_FAILED = "tool_failed"
    PROVIDER_REJECTED = "provider_rejected"


@dataclass(frozen=True)
class ReceiptAttempt:
    """What a receipt keeps of an attempt: figures, codes and ids, none of its sentences."""

    step_id: str
    attempt: int
    capability_id: str
    status: str
    error_code: str
    selection_id: str
    execution_id: str
    evaluation_id: str
    quality: float | None
    cost_micro_usd: int
    latency_ms: int

    @classmethod
    def from_attempt(cls, attempt: Attempt) -> ReceiptAttempt:
        """The part of an attempt that is kept."""
        return cls(**{each.name: getattr(attempt, each.name) for each in fields(cls)})


@dataclass(frozen=True)
class JobEnd:
    """How a job ended. `started_at` is None for one that never ran."""

    job_id: str
    state: str
    started_at: datetime | None
    ended_at: datetime


@dataclass(frozen=True)
class Figures:
    """What the facts of a job that ended say, as far as a receipt tells it; attempts in their order."""

    ending: JobEnd
    selections: tuple[SelectionSummary, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    evaluations: tuple[EvaluationSummary, ...] = ()
    asset_digests: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Receipt:
    """One receipt; see the contract for what each figure means. `attempt_details` are empty in a compact one."""

    receipt_id: str
    job_id: str
    form: Form
    causes: tuple[Cause, ...]
    state: str
    path: str
    predicted_quality: float | None
    observed_quality: float | None
    criterion_scores: dict[str, float]
    degradation_level: DegradationLevel
    candidates: int
    confidence: float
    attempts: int
    fallbacks: int
    reworks: int
    latency_ms: int
    provider_ms: int
    cost_micro_usd: int
    trace_digest: str
    asset_digests: dict[str, str]
    policy_ids: tuple[str, ...]
    trace_ids: tuple[str, ...]
    complete: bool
    ended_at: datetime
    attempt_details: tuple[ReceiptAttempt, ...] = ()

    @property
    def compact(self) -> Receipt:
        """The same without its attempts."""
        return replace(self, form=Form.COMPACT, attempt_details=())


def figures_of(facts: Sequence[Fact]) -> Figures | None:
    """The figures of a job; None while it has not ended."""
    job_fact = next((fact for fact in facts if isinstance(fact.summary, JobSummary)), None)
    known = JobFacts(facts)
    if job_fact is None or known.job is None or not known.job.ended:
        return None
    job = known.job
    return Figures(
        ending=JobEnd(
            job_id=job.job_id,
            state=job.state,
            started_at=_moment(job.started_ms),
            ended_at=_moment(job.ended_ms) or job_fact.occurred_at,
        ),
        selections=tuple(known.selections.values()),
        attempts=tuple(fact.summary for fact in sorted(facts, key=_place) if isinstance(fact.summary, Attempt)),
        evaluations=tuple(known.evaluations.values()),
        asset_digests={asset.asset_id: asset.checksum for asset in known.assets.values() if asset.checksum},
    )


def _place(fact: Fact) -> tuple[int, str, int]:
    """Attempts in the order in which they ended; those of one step by their numbers where senders gave no order."""
    attempt = fact.summary
    return (fact.sequence, attempt.step_id, attempt.attempt) if isinstance(attempt, Attempt) else (0, "", 0)


def _moment(milliseconds: int) -> datetime | None:
    return datetime.fromtimestamp(milliseconds / 1_000, UTC) if milliseconds else None


def receipt_id_of(tenant_id: str, job_id: str) -> str:
    """Id of a job's only receipt."""
    return derive("receipt", tenant_id, job_id)


def trace_digest(job_id: str, facts: Iterable[Fact]) -> str:
    """SHA-256 of a trace in its canonical form, lower-case hex.

    The form is UTF-8 text, each line ended by a line feed: first "soma.trace.v1 <job id>", then for each fact
    "<kind> <fact id> <SHA-256 of its stored message>", sorted.
    """
    lines = sorted(f"{fact.kind.value} {fact.fact_id} {hashlib.sha256(fact.document).hexdigest()}\n" for fact in facts)
    return hashlib.sha256("".join([f"soma.trace.v1 {job_id}\n", *lines]).encode()).hexdigest()


def write(tenant_id: str, figures: Figures, trace: Trace, digest: str, *, low_quality: float) -> Receipt:
    """The receipt of a job, full when something was out of order; quality below `low_quality` is."""
    ending, totals = figures.ending, trace.totals
    causes = tuple(cause for cause in Cause if cause in causes_of(figures, low_quality))
    seconds = (ending.ended_at - ending.started_at).total_seconds() if ending.started_at else 0.0
    return Receipt(
        receipt_id=receipt_id_of(tenant_id, ending.job_id),
        job_id=ending.job_id,
        form=Form.FULL if causes else Form.COMPACT,
        causes=causes,
        state=ending.state,
        path=trace.path,
        predicted_quality=predicted_quality(figures),
        observed_quality=observed_quality(figures),
        criterion_scores=criterion_scores(figures),
        degradation_level=max(
            (selection.degradation_level for selection in figures.selections),
            key=lambda level: level.severity,
            default=DegradationLevel.NONE,
        ),
        candidates=max((selection.candidates for selection in figures.selections), default=0),
        confidence=len(_accepted(figures)) / len(figures.attempts) if figures.attempts else 0.0,
        attempts=totals.attempts,
        fallbacks=totals.fallbacks,
        reworks=totals.reworks,
        latency_ms=max(0, round(seconds * 1000)),
        provider_ms=totals.provider_ms,
        cost_micro_usd=totals.cost_micro_usd,
        trace_digest=digest,
        asset_digests=figures.asset_digests,
        policy_ids=tuple(trace.policy_ids),
        trace_ids=tuple(trace.trace_ids),
        complete=trace.complete,
        ended_at=ending.ended_at,
        attempt_details=tuple(map(ReceiptAttempt.from_attempt, figures.attempts)) if causes else (),
    )


def predicted_quality(figures: Figures) -> float | None:
    """Mean score foreseen for the accepted attempts, for all that was chosen where none was accepted."""
    ids = {attempt.selection_id for attempt in _accepted(figures)}
    counted = [selection for selection in figures.selections if selection.selection_id in ids] or figures.selections
    return _mean(selection.predicted_quality for selection in counted)


def observed_quality(figures: Figures) -> float | None:
    """Mean score of the accepted results; None when none was judged."""
    return _mean(attempt.quality for attempt in _accepted(figures))


def criterion_scores(figures: Figures) -> dict[str, float]:
    """Mean score by criterion over the accepted results, over all judged ones where none was accepted."""
    ids = {attempt.evaluation_id for attempt in _accepted(figures)}
    counted = [
        evaluation for evaluation in figures.evaluations if evaluation.evaluation_id in ids
    ] or figures.evaluations
    names = sorted({name for evaluation in counted for name in evaluation.criteria})
    means = {name: _mean(evaluation.criteria.get(name) for evaluation in counted) for name in names}
    return {name: mean for name, mean in means.items() if mean is not None}


def causes_of(figures: Figures, low_quality: float) -> set[Cause]:
    """What was out of order. Where nothing was accepted, what was judged counts for the quality."""
    quality = observed_quality(figures)
    if quality is None:
        quality = _mean(evaluation.score for evaluation in figures.evaluations)
    codes = {attempt.error_code for attempt in figures.attempts}
    failed = {a.error_code for a in figures.attempts if a.failed} - {REJECTED_CONTENT, POLICY_DENIED}
    found = {
        Cause.LOW_QUALITY: quality is not None and quality < low_quality,
        Cause.POLICY_DENIED: POLICY_DENIED in codes
        or any(selection.rejected_by(Judgement.POLICY) for selection in figures.selections),
        Cause.TOOL_FAILED: bool(failed),
        Cause.PROVIDER_REJECTED: REJECTED_CONTENT in codes,
    }
    return {cause for cause, holds in found.items() if holds}


def _accepted(figures: Figures) -> Sequence[Attempt]:
    return [attempt for attempt in figures.attempts if attempt.accepted]


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return min(1.0, sum(known) / len(known)) if known else None
