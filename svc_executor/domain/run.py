"""What a running job and its use cases tell each other: names and numbers only, so that histories stay small."""

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
    """What the run must know of a step. `state` is a StepState, `on_failure` an OnFailure."""

    step_id: str
    depends_on: list[str]
    state: str
    next_attempt: int
    gate: bool
    on_failure: str


@dataclass(frozen=True)
class RunSetup:
    """The job as it stands at the start of a run.

    `proceed` is false when there is nothing to run. `parallel` steps run at once; `capped` says that choices must be
    made one after the other because the plan has a cost cap; `seconds_left` is the time the run may take. A step has
    `max_attempts` at most in this run, reworks included; 0: any number, as in runs that an earlier version opened.
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
    """Choose for an attempt. `rework_of` is the attempt sent back, 0 when none was; `fallback_code` is why the rung
    before was left, for programs, and `fallback_reason` the same for people.

    `repeat_of` is the attempt whose result was lost and is made again, 0 when none was.
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
    """The capability chosen, or why none was."""

    capability_id: str = ""
    message: str = ""

    @property
    def has_capability(self) -> bool:
        """Whether something was chosen."""
        return bool(self.capability_id)


@dataclass(frozen=True)
class AttemptInput:
    """Make, or judge, one attempt of a step."""

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
    """What the critic said; `message` names what it found wrong.

    `repeated` tells that it was said of the very result that was sent back before: the same producer has no other.
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
    """End a run. `state` is a JobState; `last_try` records what cannot be undone instead of raising."""

    job: JobRun
    state: str
    message: str
    last_try: bool = False
