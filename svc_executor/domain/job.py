"""Jobs, their steps and the attempts of each step."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import TYPE_CHECKING

from svc_executor.domain.usage import NO_USAGE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from soma_providers.port import Feedback, JsonValue, Usage
    from svc_executor.domain.task_dsl import Task, TaskSummary

MAX_SHOWN_CHARS = 4_000
MAX_PROMPT_CHARS = 2_000


class JobState(StrEnum):
    """State of a job; the names of the contract."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    PARTIAL = "PARTIAL"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def ended(self) -> bool:
        """Whether nothing more happens by itself."""
        return self not in {JobState.PENDING, JobState.RUNNING}

    @property
    def resumable(self) -> bool:
        """Whether the job may be run again from what it recorded."""
        return self in {JobState.FAILED, JobState.PARTIAL}


class StepState(StrEnum):
    """State of a step; the names of the contract."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"
    CANCELLED = "CANCELLED"

    @property
    def ended(self) -> bool:
        """Whether the step is over in this run of the job."""
        return self not in {StepState.PENDING, StepState.RUNNING}


class ExecutionStatus(StrEnum):
    """How an attempt ended; the names of the contract."""

    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    REJECTED = "REJECTED"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True)
class CallerIdentity:
    """A verified caller as it is stored with a job: `mesh.context.Caller` without the token and the actor."""

    tenant_id: str
    subject: str
    roles: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    key_id: str = ""


def executor_identity(tenant_id: str) -> CallerIdentity:
    """The executor itself within a tenant, with the scopes that compensation and settling need."""
    scopes = ("asset.read", "asset.delete", "budget.settle")
    return CallerIdentity(tenant_id, "spiffe://soma/executor", ("member",), scopes)


@dataclass(frozen=True)
class JobOptions:
    """Options of a job, from its plan; caps are 0 or empty where the plan sets none.

    Money is in millionths of a US dollar.
    """

    max_cost_micro_usd: int = 0
    max_duration_s: int = 0
    keep_on_failure: bool = False
    data_classification: str = ""
    persona: str = ""
    capsule: str = ""
    max_cost_tier: str = ""


@dataclass(frozen=True)
class Job:
    """One job, without its plan. `run` counts from 1 and grows with each resume.

    `request_id` is the id of the request that submitted it; `resumed_by` is the caller that resumed it last.
    """

    job_id: str
    owner: CallerIdentity
    options: JobOptions
    created_at: datetime
    title: str = ""
    state: JobState = JobState.PENDING
    session_id: str = ""
    trace_id: str = ""
    traceparent: str = ""
    run: int = 1
    message: str = ""
    cost_micro_usd: int = 0
    steps_total: int = 0
    steps_ended: int = 0
    cancel_reason: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    request_id: str = ""
    resumed_by: CallerIdentity | None = None

    @property
    def runs_as(self) -> CallerIdentity:
        """The caller that its calls of other services are made for: its owner until somebody else resumes it."""
        return self.resumed_by or self.owner

    @property
    def tenant_id(self) -> str:
        """Tenant that it belongs to."""
        return self.owner.tenant_id

    def audit_action_since(self, before: Job) -> str:
        """Returns the audit action of the change from `before`; "" for progress, which is not audited."""
        if self.run > before.run:
            return "job.resume"
        if self.state.ended and not before.state.ended:
            return "job.end"
        return "job.cancel" if self.cancel_reason is not None and before.cancel_reason is None else ""

    @property
    def progress(self) -> float:
        """Share of steps that ended, in [0, 1]."""
        return self.steps_ended / self.steps_total if self.steps_total else 1.0


@dataclass(frozen=True)
class Step:
    """One step of a job; `text` is the whole text of the accepted result, `accepted_attempt` 0 when there is none.

    `erased`: an asset of the result was erased, and the text with it.
    """

    job_id: str
    task: Task
    state: StepState = StepState.PENDING
    asset_ids: tuple[str, ...] = ()
    text: str = ""
    capability_id: str = ""
    message: str = ""
    attempts: int = 0
    accepted_attempt: int = 0
    quality_score: float | None = None
    cost_micro_usd: int = 0
    erased: bool = False

    @property
    def step_id(self) -> str:
        """Name of the step, the task_id of the plan."""
        return self.task.task_id

    @property
    def summary(self) -> StepSummary:
        """The step without what may be large."""
        same = {each.name: getattr(self, each.name) for each in fields(StepSummary)}
        return StepSummary(**{**same, "task": self.task.summary, "text": self.text[:MAX_SHOWN_CHARS]})


@dataclass(frozen=True)
class StepSummary:
    """One step without what may be large; `text` is the beginning of its text, `MAX_SHOWN_CHARS` characters at most."""

    job_id: str
    task: TaskSummary
    state: StepState
    asset_ids: tuple[str, ...]
    text: str
    capability_id: str
    message: str
    attempts: int
    accepted_attempt: int
    quality_score: float | None
    cost_micro_usd: int
    erased: bool

    @property
    def step_id(self) -> str:
        """Name of the step, the task_id of the plan."""
        return self.task.task_id


@dataclass(frozen=True)
class SelectedCapability:
    """The capability of an attempt as it was when chosen.

    `owner_tenant_id` names the tenant of a private capability; it is empty for the platform's.
    """

    capability_id: str
    tool_id: str
    provider: str
    adapter: str
    model: str = ""
    endpoint: str = ""
    credential_path: str = ""
    license: str = ""
    asset_type: str = ""
    format: str = ""
    default_parameters: Mapping[str, JsonValue] = field(default_factory=dict)
    owner_tenant_id: str = ""


@dataclass(frozen=True)
class ExecutionContent:
    """What may be large in an attempt: the params of its task with references resolved, and the text of its result."""

    params: Mapping[str, JsonValue] = field(default_factory=dict)
    text: str = field(default="", repr=False)


@dataclass(frozen=True)
class Execution:
    """One attempt of a step with one capability.

    `settled` is True once its reservation is settled or released, `reported` once the event of its end is in the
    outbox. `rework_of` is the attempt that was sent back, 0 when none was.

    `usage` is what its call consumed, once it ended. It is None where nobody knows, and then `usage_unknown` is True,
    or where an earlier version recorded the end, with a cost that it computed.

    `content` is None where the attempt was read without its large columns. Such an attempt cannot be saved.
    """

    execution_id: str
    job_id: str
    step_id: str
    step_index: int
    attempt: int
    step_type: str
    modality: str
    capability: SelectedCapability
    selection_id: str
    idempotency_key: str
    reservation_id: str = ""
    reserved_micro_usd: int = 0
    status: ExecutionStatus = ExecutionStatus.RUNNING
    model: str = ""
    prompt: str = ""
    input_asset_ids: tuple[str, ...] = ()
    asset_ids: tuple[str, ...] = ()
    latency_ms: int = 0
    cost_micro_usd: int = 0
    quality_score: float | None = None
    evaluation_id: str = ""
    feedback: tuple[Feedback, ...] = ()
    fallback_reason: str = ""
    rework_reason: str = ""
    rework_of: int = 0
    error_code: str = ""
    error_message: str = ""
    trace_id: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    settled: bool = False
    reported: bool = False
    usage: Usage | None = None
    usage_unknown: bool = False
    content: ExecutionContent | None = field(default_factory=ExecutionContent)

    @property
    def params(self) -> Mapping[str, JsonValue]:
        """The params of its task with references resolved; ValueError where they were not read."""
        return self._loaded().params

    @property
    def text(self) -> str:
        """The text of its result; ValueError where it was not read."""
        return self._loaded().text

    def _loaded(self) -> ExecutionContent:
        if self.content is None:
            raise ValueError(f"attempt {self.execution_id} was read without its content")
        return self.content

    @property
    def cost_known(self) -> bool:
        """Whether the cost of an attempt that ended is final: nothing was used, or the selector told it."""
        return self.settled or not (self.usage_unknown or self.usage not in {None, NO_USAGE})

    @property
    def ended(self) -> bool:
        """Whether its result is recorded."""
        return self.status is not ExecutionStatus.RUNNING
