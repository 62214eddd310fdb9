"""The answers of the REST API that the command line reads. Unknown fields are ignored: the API may grow."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - pydantic reads the annotation

from pydantic import BaseModel, ConfigDict

_TERMINAL = {"JOB_STATE_COMPLETED", "JOB_STATE_PARTIAL", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED"}


class Answer(BaseModel):
    """Base of what the API answers."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Step(Answer):
    """One step of a job."""

    step_id: str
    step_type: str = ""
    state: str = ""
    depends_on: tuple[str, ...] = ()
    asset_ids: tuple[str, ...] = ()
    text: str = ""
    capability_id: str = ""
    message: str = ""
    attempts: int = 0
    quality_score: float | None = None
    cost_micro_usd: int = 0


class Job(Answer):
    """One durable run of a plan."""

    job_id: str
    state: str = ""
    title: str = ""
    steps: tuple[Step, ...] = ()
    progress: float = 0.0
    cost_micro_usd: int = 0
    message: str = ""
    create_time: datetime | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in _TERMINAL


class JobPage(Answer):
    """A page of jobs."""

    jobs: tuple[Job, ...] = ()
    next_page_token: str = ""


class JobEvent(Answer):
    """One entry of a job's timeline."""

    sequence: int = 0
    type: str = ""
    job_id: str = ""
    step_id: str = ""
    message: str = ""
    job_state: str = ""
    step_state: str = ""
    progress: float = 0.0
    capability_id: str = ""
    attempt: int = 0
    terminal: bool = False


class Asset(Answer):
    """What is known of stored bytes."""

    asset_id: str
    asset_type: str = ""
    format: str = ""
    media_type: str = ""
    filename: str = ""
    size_bytes: int = 0
    checksum_sha256: str = ""


class Token(Answer):
    """A short-lived token."""

    token: str
    expire_time: datetime | None = None
