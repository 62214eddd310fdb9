"""What is known of selections, attempts, verdicts, assets and jobs, as far as the record's rules need it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime  # noqa: TC003 - the storage adapter reads the annotations
from enum import StrEnum
from typing import TypeAlias

from pydantic import JsonValue

JsonObject: TypeAlias = dict[str, JsonValue]
Transaction: TypeAlias = object
"""An open transaction, handed from the consumer to the store unread."""
MAX_ANCESTORS, MAX_GENERATIONS = 1000, 50
"""Bounds of a lineage; the ancestors that are given are the nearest."""
MAX_PARAMS_BYTES, MAX_LINEAGE_BYTES = 32 << 10, 512 << 10
"""Longest parameters of one asset that are read, and of a lineage's generation after generation, as they are stored.

They bound what versions before 0.1.0 stored; since then it is at most 16 KiB of canonical JSON, which has no spaces.
"""


class Kind(StrEnum):
    """Kinds of facts."""

    SELECTION = "selection"
    EXECUTION = "execution"
    EVALUATION = "evaluation"
    ASSET = "asset"
    JOB = "job"


@dataclass(frozen=True)
class SelectionSummary:
    """A selection. `chosen` is empty when nothing was left; `left_out` are sentences.

    `policy_denied` and `budget_denied` name capabilities; `decided_ms` is in milliseconds since 1970, 0 when unknown.
    """

    selection_id: str
    step_id: str
    attempt: int
    chosen: str
    reason: str
    fallback_reason: str = ""
    left_out: tuple[str, ...] = ()
    policy_id: str = ""
    policy_denied: tuple[str, ...] = ()
    budget_denied: tuple[str, ...] = ()
    reserved_micro_usd: int = 0
    degradation: str = ""
    decided_ms: int = 0
    elapsed_us: int = 0


@dataclass(frozen=True)
class Attempt:
    """An execution. Cost in millionths of a US dollar, latency in milliseconds, quality in [0, 1].

    `started_ms` and `ended_ms` are in milliseconds since 1970, 0 when unknown.
    """

    execution_id: str
    step_id: str
    step_type: str
    attempt: int
    capability_id: str
    status: str
    selection_id: str = ""
    evaluation_id: str = ""
    asset_ids: tuple[str, ...] = ()
    fallback_reason: str = ""
    rework_reason: str = ""
    error: str = ""
    cost_micro_usd: int = 0
    latency_ms: int = 0
    quality: float | None = None
    trace_id: str = ""
    span_id: str = ""
    started_ms: int = 0
    ended_ms: int = 0


@dataclass(frozen=True)
class EvaluationSummary:
    """An evaluation; `faults` are sentences, `judged_ms` is in milliseconds since 1970, 0 when unknown."""

    evaluation_id: str
    execution_id: str
    passes: bool
    score: float
    faults: tuple[str, ...] = ()
    evaluator: str = ""
    cost_micro_usd: int = 0
    elapsed_ms: int = 0
    judged_ms: int = 0


@dataclass(frozen=True)
class AssetSummary:
    """An asset of a job."""

    asset_id: str
    execution_id: str


@dataclass(frozen=True)
class StepSummary:
    """A step as its job tells it; `message` says why it failed or was skipped."""

    step_id: str
    step_type: str
    state: str
    attempts: int = 0
    message: str = ""


@dataclass(frozen=True)
class JobSummary:
    """A job, newest word of it. Its moments are in milliseconds since 1970, 0 when they are not known."""

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


Summary: TypeAlias = SelectionSummary | Attempt | EvaluationSummary | AssetSummary | JobSummary


@dataclass(frozen=True)
class Fact:
    """One fact of a job: what the rules need of it, and the whole of it as its message's bytes.

    `sequence` is the place of its event among those of the job, from 1; 0 where the sender gave none.
    """

    kind: Kind
    fact_id: str
    job_id: str
    occurred_at: datetime
    summary: Summary
    document: bytes = field(repr=False)
    sequence: int = 0


@dataclass(frozen=True)
class AssetFacts:
    """What an asset's own event says of it."""

    asset_id: str
    asset_type: str
    media_type: str
    checksum: str
    job_id: str
    step_id: str
    execution_id: str
    subject: str
    parent_ids: tuple[str, ...]
    created_at: datetime


@dataclass(frozen=True)
class CreationFacts:
    """What the attempt that made assets says of them, redacted; `redactions` counts by kind."""

    execution_id: str
    job_id: str
    step_id: str
    attempt: int
    selection_id: str
    capability_id: str
    model: str
    subject: str
    parent_ids: tuple[str, ...]
    params: JsonObject
    prompt_summary: str
    redactions: dict[str, int]
    cost_micro_usd: int
    latency_ms: int
    trace_id: str
    prompt: str = ""
    request_id: str = ""


@dataclass(frozen=True)
class Provenance:
    """How one asset came to be. Empty strings and None where nothing is known."""

    asset_id: str
    asset_type: str
    media_type: str
    checksum: str
    created_at: datetime
    job_id: str = ""
    step_id: str = ""
    execution_id: str = ""
    attempt: int = 0
    selection_id: str = ""
    capability_id: str = ""
    model: str = ""
    subject: str = ""
    params: JsonObject = field(default_factory=dict)
    prompt_summary: str = ""
    parent_ids: tuple[str, ...] = ()
    evaluation_id: str = ""
    passes: bool | None = None
    quality: float | None = None
    cost_micro_usd: int = 0
    latency_ms: int = 0
    trace_id: str = ""
    redactions: dict[str, int] = field(default_factory=dict)
    deleted_at: datetime | None = None
    prompt: str = ""
    request_id: str = ""
