"""Receipts: the result of a job as numbers, digests and ids; no content."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from mesh.degradation import DegradationLevel
from mesh.ids import derive
from svc_provenance.domain.job_entries import JobEntries
from svc_provenance.domain.model import Attempt, JobSummary, Judgement

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from svc_provenance.domain.model import EvaluationSummary, SelectionSummary, TraceEntry
    from svc_provenance.domain.trace import Trace

REJECTED_CONTENT, POLICY_DENIED = "CONTENT_REJECTED", "POLICY_DENIED"


class Form(StrEnum):
    """Form of a receipt."""

    COMPACT = "compact"
    FULL = "full"


class Cause(StrEnum):
    """Why a receipt is full, or would be."""

    LOW_QUALITY = "low_quality"
    POLICY_DENIED = "policy_denied"
    TOOL_FAILED = "tool_failed"
    PROVIDER_REJECTED = "provider_rejected"


@dataclass(frozen=True)
class ReceiptAttempt:
    """What a receipt stores of an attempt: numbers, codes and ids, none of its sentences."""

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
        """Returns the part of an attempt that is stored."""
        return cls(**{each.name: getattr(attempt, each.name) for each in fields(cls)})


@dataclass(frozen=True)
class JobEnd:
    """How a job ended. `started_at` is None for one that never ran."""

    job_id: str
    state: str
    started_at: datetime | None
    ended_at: datetime


@dataclass(frozen=True)
class JobResult:
    """What a receipt needs of the entries of a job that ended; attempts in their order."""

    end: JobEnd
    selections: tuple[SelectionSummary, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    evaluations: tuple[EvaluationSummary, ...] = ()
    asset_digests: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Receipt:
    """One receipt; the contract says what each field means. `attempt_details` are empty in a compact one."""

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
        """The same receipt without its attempts."""
        return replace(self, form=Form.COMPACT, attempt_details=())


def job_result(trace_entries: Sequence[TraceEntry]) -> JobResult | None:
    """Returns the result of a job; None while it has not ended."""
    job_entry = next((entry for entry in trace_entries if isinstance(entry.summary, JobSummary)), None)
    entries = JobEntries(trace_entries)
    if job_entry is None or entries.job is None or not entries.job.ended:
        return None
    job = entries.job
    in_order = sorted(trace_entries, key=_attempt_order)
    return JobResult(
        end=JobEnd(
            job_id=job.job_id,
            state=job.state,
            started_at=_time(job.started_ms),
            ended_at=_time(job.ended_ms) or job_entry.occurred_at,
        ),
        selections=tuple(entries.selections.values()),
        attempts=tuple(entry.summary for entry in in_order if isinstance(entry.summary, Attempt)),
        evaluations=tuple(entries.evaluations.values()),
        asset_digests={asset.asset_id: asset.checksum for asset in entries.assets.values() if asset.checksum},
    )


def _attempt_order(entry: TraceEntry) -> tuple[int, str, int]:
    """Orders attempts as they ended; those of one step by their numbers where senders set no sequence."""
    attempt = entry.summary
    return (entry.sequence, attempt.step_id, attempt.attempt) if isinstance(attempt, Attempt) else (0, "", 0)


def _time(milliseconds: int) -> datetime | None:
    return datetime.fromtimestamp(milliseconds / 1_000, UTC) if milliseconds else None


def receipt_id_of(tenant_id: str, job_id: str) -> str:
    """Returns the id of a job's only receipt."""
    return derive("receipt", tenant_id, job_id)


def trace_digest(job_id: str, entries: Iterable[TraceEntry]) -> str:
    """Returns SHA-256 of a trace in its canonical form, lower-case hex.

    The form is UTF-8 text, each line ended by a line feed: first "soma.trace.v1 <job id>", then for each entry
    "<kind> <entry id> <SHA-256 of its stored message>", sorted.
    """
    lines = sorted(
        f"{entry.kind.value} {entry.entry_id} {hashlib.sha256(entry.document).hexdigest()}\n" for entry in entries
    )
    return hashlib.sha256("".join([f"soma.trace.v1 {job_id}\n", *lines]).encode()).hexdigest()


def make_receipt(tenant_id: str, result: JobResult, trace: Trace, digest: str, *, low_quality: float) -> Receipt:
    """Returns the receipt of a job, full when there are causes for it."""
    end, totals = result.end, trace.totals
    causes = tuple(cause for cause in Cause if cause in causes_of(result, low_quality))
    seconds = (end.ended_at - end.started_at).total_seconds() if end.started_at else 0.0
    return Receipt(
        receipt_id=receipt_id_of(tenant_id, end.job_id),
        job_id=end.job_id,
        form=Form.FULL if causes else Form.COMPACT,
        causes=causes,
        state=end.state,
        path=trace.path,
        predicted_quality=predicted_quality(result),
        observed_quality=observed_quality(result),
        criterion_scores=criterion_scores(result),
        degradation_level=max(
            (selection.degradation_level for selection in result.selections),
            key=lambda level: level.severity,
            default=DegradationLevel.NONE,
        ),
        candidates=max((selection.candidates for selection in result.selections), default=0),
        confidence=len(_accepted(result)) / len(result.attempts) if result.attempts else 0.0,
        attempts=totals.attempts,
        fallbacks=totals.fallbacks,
        reworks=totals.reworks,
        latency_ms=max(0, round(seconds * 1000)),
        provider_ms=totals.provider_ms,
        cost_micro_usd=totals.cost_micro_usd,
        trace_digest=digest,
        asset_digests=result.asset_digests,
        policy_ids=tuple(trace.policy_ids),
        trace_ids=tuple(trace.trace_ids),
        complete=trace.complete,
        ended_at=end.ended_at,
        attempt_details=tuple(map(ReceiptAttempt.from_attempt, result.attempts)) if causes else (),
    )


def predicted_quality(result: JobResult) -> float | None:
    """Returns the mean predicted score of the accepted attempts, of all selections where none was accepted."""
    ids = {attempt.selection_id for attempt in _accepted(result)}
    counted = [selection for selection in result.selections if selection.selection_id in ids] or result.selections
    return _mean(selection.predicted_quality for selection in counted)


def observed_quality(result: JobResult) -> float | None:
    """Returns the mean score of the accepted results; None when none was evaluated."""
    return _mean(attempt.quality for attempt in _accepted(result))


def criterion_scores(result: JobResult) -> dict[str, float]:
    """Returns the mean score by criterion of the accepted results, of all evaluated ones where none was accepted."""
    ids = {attempt.evaluation_id for attempt in _accepted(result)}
    counted = [evaluation for evaluation in result.evaluations if evaluation.evaluation_id in ids] or result.evaluations
    names = sorted({name for evaluation in counted for name in evaluation.criteria})
    means = {name: _mean(evaluation.criteria.get(name) for evaluation in counted) for name in names}
    return {name: mean for name, mean in means.items() if mean is not None}


def causes_of(result: JobResult, low_quality: float) -> set[Cause]:
    """Returns why a receipt is full. The quality is that of all evaluations where nothing was accepted."""
    quality = observed_quality(result)
    if quality is None:
        quality = _mean(evaluation.score for evaluation in result.evaluations)
    codes = {attempt.error_code for attempt in result.attempts}
    failed = {a.error_code for a in result.attempts if a.failed} - {REJECTED_CONTENT, POLICY_DENIED}
    applies = {
        Cause.LOW_QUALITY: quality is not None and quality < low_quality,
        Cause.POLICY_DENIED: POLICY_DENIED in codes
        or any(selection.rejected_by(Judgement.POLICY) for selection in result.selections),
        Cause.TOOL_FAILED: bool(failed),
        Cause.PROVIDER_REJECTED: REJECTED_CONTENT in codes,
    }
    return {cause for cause, does_apply in applies.items() if does_apply}


def _accepted(result: JobResult) -> Sequence[Attempt]:
    return [attempt for attempt in result.attempts if attempt.accepted]


def _mean(values: Iterable[float | None]) -> float | None:
    numbers = [value for value in values if value is not None]
    return min(1.0, sum(numbers) / len(numbers)) if numbers else None
