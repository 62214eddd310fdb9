"""Inputs and results of activities: ids and numbers only, so that histories stay small.

Temporal stores them as JSON. Fields keep their names for the histories of workflows that run.
"""

from __future__ import annotations

from dataclasses import dataclass, field

WORKFLOW = "MultimodalJobWorkflow"
CANCEL_SIGNAL = "cancel"


@dataclass(frozen=True)
class JobRun:
    """Which run of which job."""

    tenant_id: str
    job_id: str
    run: int


@dataclass(frozen=True)
class StepInfo:
    """A step as its run starts. `state` is a StepState, `on_failure` an OnFailure.

    `gate` is True where the result must be evaluated before it is accepted: `Task.requires_evaluation`.
    """

    step_id: str
    depends_on: list[str]
    state: str
    next_attempt: int
    gate: bool
    on_failure: str


@dataclass(frozen=True)
class RunSetup:
    """The job as it stands at the start of a run.

    `proceed` is False when there is nothing to run. `parallel` steps run at once. `capped` is True where the plan has
    a cost cap: capabilities are then selected one after the other. `seconds_left` is the time the run may take. A step
    has `max_attempts` at most in this run, reworks included; 0: any number, as in runs that an earlier version opened.
    """

    proceed: bool
    steps: list[StepInfo] = field(default_factory=list)
    parallel: int = 1
    max_rework: int = 0
    capped: bool = False
    seconds_left: float = 0.0
    cancel_reason: str | None = None
    max_attempts: int = 0


@dataclass(frozen=True)
class SelectInput:
    """Select a capability for an attempt.

    `rework_of` is the attempt that was sent back, `repeat_of` the one whose result was lost; 0 when none was.
    `fallback_code` tells programs why the capability before was excluded, `fallback_reason` tells people.
    """

    job: JobRun
    step_id: str
    attempt: int
    exclude: list[str] = field(default_factory=list)
    fallback_reason: str = ""
    fallback_code: str = ""
    rework_of: int = 0
    repeat_of: int = 0


@dataclass(frozen=True)
class SelectionResult:
    """The selected capability, or why there is none."""

    capability_id: str = ""
    message: str = ""

    @property
    def has_capability(self) -> bool:
        """Whether a capability was selected."""
        return bool(self.capability_id)


@dataclass(frozen=True)
class AttemptInput:
    """Run, or evaluate, one attempt of a step."""

    job: JobRun
    step_id: str
    attempt: int


@dataclass(frozen=True)
class AttemptResult:
    """How an attempt ended; `code` and `message` say why it failed."""

    succeeded: bool
    code: str = ""
    message: str = ""


@dataclass(frozen=True)
class EvaluationResult:
    """What the critic decided; `message` names the problems it found.

    `repeated` is True where the same result was sent back before: the capability has no other.
    """

    passes: bool
    message: str = ""
    repeated: bool = False


@dataclass(frozen=True)
class EndStepInput:
    """A step that ended without a result. `state` is a StepState."""

    job: JobRun
    step_id: str
    state: str
    message: str


@dataclass(frozen=True)
class CloseRunInput:
    """End a run. `state` is a JobState; with `last_try` a compensation that fails is recorded and not raised."""

    job: JobRun
    state: str
    message: str
    last_try: bool = False
