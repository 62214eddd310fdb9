"""Selections, attempts, evaluations, assets, steps and jobs, as far as the rules of traces and receipts need them.

Names of fields of the summaries are stored, as JSON.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime  # noqa: TC003 - the storage adapter reads the annotations
from enum import StrEnum
from typing import TypeAlias

from pydantic import JsonValue

from mesh.degradation import DegradationLevel

JsonObject: TypeAlias = dict[str, JsonValue]
Transaction: TypeAlias = object
"""An open transaction, passed from the consumer to the store."""


class EntryKind(StrEnum):
    """Kinds of entries of a trace."""

    SELECTION = "selection"
    EXECUTION = "execution"
    EVALUATION = "evaluation"
    ASSET = "asset"
    JOB = "job"
    STEP = "step"


class Judgement(StrEnum):
    """Which judgement rejected a capability; the names of the contract."""

    UNKNOWN = ""
    CANDIDATES = "candidates"
    ALLOW_LISTS = "allow_lists"
    HEALTH = "health"
    POLICY = "policy"
    BUDGET = "budget"
    EXCLUDED = "excluded"


class AttemptStatus(StrEnum):
    """How an attempt ended; the names of the contract, in lower case."""

    UNKNOWN = ""
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REJECTED = "rejected"
    CANCELLED = "cancelled"


class StepState(StrEnum):
    """State of a step; the names of the contract, in lower case."""

    UNKNOWN = ""
    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether the step has ended in this run of the job."""
        return self in {StepState.SUCCEEDED, StepState.FAILED, StepState.SKIPPED, StepState.CANCELLED}


class AttemptKind(StrEnum):
    """Why there was an attempt."""

    FIRST = "first"
    FALLBACK = "fallback"
    REWORK = "rework"
    NO_CHOICE = "no_choice"


@dataclass(frozen=True)
class SelectionBasis:
    """Why the chosen capability came first: `ladder_position` counts from 1, 0 for one that is not on the ladder.

    `alternatives` could have been chosen too, `rejections` could not.
    """

    ladder_position: int = 0
    forced: bool = False
    preferred: bool = False
    degraded: bool = False
    deprecated: bool = False
    alternatives: int = 0
    rejections: int = 0


@dataclass(frozen=True)
class RejectedCapability:
    """A capability that a selection rejected. `cost_micro_usd` is the cost that exceeded the budget, or None."""

    capability_id: str
    judgement: Judgement
    code: str
    reason: str
    cost_micro_usd: int | None = None


@dataclass(frozen=True)
class SelectionSummary:
    """A selection. `chosen` is empty when every capability was rejected; `reason` is the selector's own sentence.

    `basis` is None in selections of earlier versions, `predicted_quality` where there was no prediction. `decided_ms`
    is in milliseconds since 1970, 0 when unknown.
    """

    selection_id: str
    step_id: str
    attempt: int
    chosen: str
    reason: str
    fallback_reason: str = ""
    basis: SelectionBasis | None = None
    rejected: tuple[RejectedCapability, ...] = ()
    policy_id: str = ""
    candidates: int = 0
    predicted_quality: float | None = None
    reserved_micro_usd: int = 0
    degradation_level: DegradationLevel = DegradationLevel.UNKNOWN
    decided_ms: int = 0
    elapsed_us: int = 0

    def rejected_by(self, judgement: Judgement) -> tuple[str, ...]:
        """Returns the capabilities that a judgement rejected."""
        return tuple(rejected.capability_id for rejected in self.rejected if rejected.judgement == judgement)


@dataclass(frozen=True)
class Attempt:
    """An execution. Cost in millionths of a US dollar, latency in milliseconds, quality in [0, 1].

    `error_code` is for programs and `error_message` for people, both empty on success. `started_ms` and `ended_ms` are
    in milliseconds since 1970, 0 when unknown.
    """

    execution_id: str
    step_id: str
    step_type: str
    attempt: int
    capability_id: str
    status: AttemptStatus
    selection_id: str = ""
    evaluation_id: str = ""
    asset_ids: tuple[str, ...] = ()
    fallback_reason: str = ""
    rework_reason: str = ""
    error_code: str = ""
    error_message: str = ""
    cost_micro_usd: int = 0
    latency_ms: int = 0
    quality: float | None = None
    trace_id: str = ""
    span_id: str = ""
    started_ms: int = 0
    ended_ms: int = 0

    @property
    def accepted(self) -> bool:
        """Whether its result became that of its step."""
        return self.status == AttemptStatus.SUCCEEDED

    @property
    def failed(self) -> bool:
        """Whether the provider failed."""
        return self.status == AttemptStatus.FAILED

    @property
    def kind(self) -> AttemptKind:
        """Why there was this attempt."""
        if self.rework_reason:
            return AttemptKind.REWORK
        return AttemptKind.FALLBACK if self.fallback_reason else AttemptKind.FIRST

    @property
    def cause(self) -> str:
        """The failure or the evaluation that led to it, for people; empty for a first attempt."""
        return self.rework_reason or self.fallback_reason

    @property
    def overhead_ms(self) -> int | None:
        """Time from start to end without the provider; None where it is unknown."""
        elapsed_ms = since_ms(self.started_ms, self.ended_ms)
        return None if elapsed_ms is None else max(0, elapsed_ms - self.latency_ms)


def since_ms(start_ms: int, end_ms: int) -> int | None:
    """Returns milliseconds between two times; None where one is unknown."""
    return max(0, end_ms - start_ms) if start_ms and end_ms else None


@dataclass(frozen=True)
class EvaluationSummary:
    """An evaluation; `faults` are sentences, `criteria` scores in [0, 1] by name.

    `judged_ms` is in milliseconds since 1970, 0 when unknown.
    """

    evaluation_id: str
    execution_id: str
    passes: bool
    score: float
    faults: tuple[str, ...] = ()
    evaluator: str = ""
    cost_micro_usd: int = 0
    elapsed_ms: int = 0
    judged_ms: int = 0
    criteria: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class AssetSummary:
    """An asset of a job; `checksum` is the SHA-256 of its bytes, lower-case hex."""

    asset_id: str
    execution_id: str
    checksum: str = ""


@dataclass(frozen=True)
class StepSummary:
    """A step as last reported; `message` says why it failed or was skipped, `step_index` counts from 0."""

    step_id: str
    step_type: str
    state: StepState
    attempts: int = 0
    message: str = ""
    step_index: int = 0
    cost_micro_usd: int = 0


@dataclass(frozen=True)
class JobSummary:
    """A job as last reported. Its times are in milliseconds since 1970, 0 when unknown.

    `steps` are those that its event lists; each is in force unless an event of the step itself is newer. `step_count`
    is 0 where the sender does not set it, and then its events list all steps.
    """

    job_id: str
    state: str
    ended: bool
    steps: tuple[StepSummary, ...] = ()
    trace_id: str = ""
    title: str = ""
    message: str = ""
    created_ms: int = 0
    started_ms: int = 0
    ended_ms: int = 0
    step_count: int = 0


Summary: TypeAlias = SelectionSummary | Attempt | EvaluationSummary | AssetSummary | JobSummary | StepSummary


@dataclass(frozen=True)
class TraceEntry:
    """The newest state of a selection, an attempt, an evaluation, an asset, a step or the job in a job's trace.

    `document` is its message as bytes, `summary` what the rules need of it. `sequence` is the position of its event
    among those of the job, from 1; 0 where the sender set none.
    """

    kind: EntryKind
    entry_id: str
    job_id: str
    occurred_at: datetime
    summary: Summary
    document: bytes = field(repr=False)
    sequence: int = 0
