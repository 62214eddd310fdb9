"""The timeline of a job, its compensations, and the facts that are published to other contexts."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from soma_providers.port import JsonValue
    from svc_executor.domain.job import Execution, Job, JobState, Step, StepState, StepSummary


class EventType(StrEnum):
    """Kind of an entry of the timeline; the names of the contract."""

    HEARTBEAT = "HEARTBEAT"
    JOB = "JOB"
    STEP = "STEP"
    SELECTION = "SELECTION"
    EXECUTION = "EXECUTION"
    ASSET = "ASSET"
    EVALUATION = "EVALUATION"
    COMPENSATION = "COMPENSATION"


@dataclass(frozen=True)
class JobEvent:
    """One entry of a timeline; `sequence` grows from 1 without gaps, 0 on heartbeats."""

    sequence: int
    type: EventType
    job_id: str
    message: str
    job_state: JobState
    progress: float
    occurred_at: datetime
    step_id: str = ""
    step_state: StepState | None = None
    capability_id: str = ""
    asset_ids: tuple[str, ...] = ()
    attempt: int = 0
    terminal: bool = False


class CompensationKind(StrEnum):
    """What a compensation releases."""

    ASSET = "asset"
    RESERVATION = "reservation"


@dataclass(frozen=True)
class Compensation:
    """One compensation, in the order it is done; `execution_id` is the attempt that had made the target.

    `tenant_id` is given where compensations of several tenants are read.
    """

    job_id: str
    run: int
    position: int
    kind: CompensationKind
    target_id: str
    step_id: str
    execution_id: str
    updated_at: datetime
    done: bool = False
    message: str = ""
    tenant_id: str = field(default="", compare=False)

    @property
    def tried(self) -> bool:
        """Whether it was done or given up, with the failure as its message."""
        return self.done or bool(self.message)


@dataclass(frozen=True)
class JobFact:
    """The job changed its state; `steps` are all of them where a run begins, else none.

    `sequence` is given when the fact is published: it counts the facts of a job, of all kinds, from 1.
    """

    job: Job
    steps: Sequence[StepSummary] = ()
    sequence: int = 0


@dataclass(frozen=True)
class StepFact:
    """A step changed its state. `sequence` is as in `JobFact`."""

    step: Step
    sequence: int = 0


@dataclass(frozen=True)
class ExecutionFact:
    """An attempt ended, for good. `sequence` is as in `JobFact`."""

    execution: Execution
    subject: str
    sequence: int = 0


Fact = JobFact | StepFact | ExecutionFact


@dataclass(frozen=True)
class JobDescription:
    """Everything recorded of a job."""

    job: Job
    plan: Mapping[str, JsonValue]
    steps: Sequence[Step]
    executions: Sequence[Execution]
    events: Sequence[JobEvent]
    compensations: Sequence[Compensation]
