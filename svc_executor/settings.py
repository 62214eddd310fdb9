"""Settings of the executor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from mesh.chassis import ChassisSettings
from mesh.settings import BlobSettings, Block, Env, TemporalSettings
from svc_executor.domain.task_dsl import MAX_STEPS


class ExecutorSettings(Block):
    """What is the executor's own."""

    enabled: Annotated[bool, Env("SA01_ENABLE_multimodal_capabilities")] = Field(
        False, description="accept jobs; off by default in production"
    )
    quality_gates: Annotated[bool, Env("SA01_MULTIMODAL_QUALITY_GATES_ENABLED")] = Field(
        False, description="judge every step unless its plan or the step itself says otherwise"
    )
    tenant_running_jobs: int = Field(
        16, ge=1, le=1_000, description="jobs of one tenant that run at once; its others wait for their turn"
    )
    tenant_heavy_running_jobs: int = Field(
        2, ge=1, le=1_000, description="the same while its child processes use much processor time"
    )
    tenant_open_jobs: int = Field(
        1_000, ge=1, le=100_000, description="jobs of one tenant that run or wait; more are refused"
    )
    max_steps: int = Field(MAX_STEPS, ge=1, le=MAX_STEPS, description="most steps of a plan")
    parallel_steps: int = Field(4, ge=1, le=64, description="steps of one job that run at once")
    max_rework_attempts: Annotated[int, Env("MAX_REWORK_ATTEMPTS")] = Field(
        2, ge=0, le=10, description="tries with the same capability after the critic sent a result back"
    )
    max_step_attempts: int = Field(
        20, ge=1, le=100, description="attempts of one step in one run of its job, reworks included, before it fails"
    )
    max_resumes: int = Field(
        10, ge=1, le=100, description="resumes of one job; more are refused, and its plan is to be submitted anew"
    )
    max_job_seconds: float = Field(3_600.0, gt=0, description="longest run of a job whose plan sets no limit")
    provider_timeout_s: float = Field(
        120.0, gt=0, le=300, description="time that a provider gets for one attempt, in seconds; 300 at most"
    )
    provider_slots: int = Field(4, ge=1, description="attempts at once for each provider in this process")
    tenant_slots: int = Field(3, ge=1, description="of these, the most of one tenant")
    local_processes: int = Field(
        4, ge=1, description="child processes of each local tool at once, one for a tenant, half for heavy use"
    )
    local_cpu_s: float = Field(
        20.0, gt=0, description="processor time that one call of a local tool may take, in seconds"
    )
    local_idle_s: float = Field(
        60.0, gt=0, description="time without use after which the child processes of a local tool end, in seconds"
    )
    provider_tries: int = Field(2, ge=1, le=5, description="calls of a provider within one attempt")
    breaker_failures: int = Field(5, ge=1, description="failures within `breaker_window_s` that open a circuit")
    breaker_window_s: float = Field(
        10.0, gt=0, description="time within which failures open a circuit, in seconds, on top of what the calls took"
    )
    breaker_recovery_s: float = Field(60.0, gt=0, description="time that an open circuit stays open, in seconds")
    probe_interval_s: float = Field(60.0, gt=0, description="time between two probes of a provider, in seconds")
    start_after_s: float = Field(
        5.0, gt=0, description="age in seconds from which the sweep starts a job that is still PENDING"
    )
    sweep_interval_s: float = Field(
        30.0,
        gt=0,
        description="time between two sweeps: lost runs, open compensations, erasures, orphaned outcomes, in seconds",
    )
    compensation_retry_s: float = Field(
        300.0, gt=0, description="time between two tries of what could not be undone, in seconds"
    )
    concurrent_activities: int = Field(
        32, ge=1, description="attempts and evaluations that this process works on at once"
    )
    concurrent_control_activities: int = Field(
        32, ge=1, description="other activities of jobs that this process works on at once"
    )
    wait_for_registration_s: float = Field(
        20.0, ge=0, description="longest wait for the registry to know all capabilities before serving, in seconds"
    )
    home: Annotated[Path, Env("SA01_HOME")] = Field(
        Path(".soma"), description="folder below which adapters keep models, pages and caches"
    )
    egress_allow: tuple[str, ...] = Field(
        (), description="host patterns that providers may fetch from; none: every public host"
    )
    egress_deny: tuple[str, ...] = Field((), description="host patterns that they may not, whatever else is allowed")
    egress_loopback: tuple[str, ...] = Field(
        (), description="host:port pairs of this machine that may be fetched over plain HTTP"
    )
    egress_plain_http: bool = Field(False, description="allow plain HTTP to public hosts")
    task_queue: Literal["multimodal"] = Field("multimodal", description="Temporal task queue of jobs")
    model_idle_s: float = Field(
        300.0, gt=0, description="time without use after which a local model is unloaded, in seconds"
    )
    manifests: Path | None = Field(
        None, description="folder of the capabilities' manifests; none: those of the installed providers"
    )
    providers: dict[str, str] = Field(default_factory=dict, description="settings handed to the adapters, as JSON")


class RetentionSettings(Block):
    """For how long jobs are kept."""

    jobs_days: int = Field(
        90, ge=1, le=3650, description="days that a job is kept after its end, with its steps, attempts and timeline"
    )
    workflow_payloads_days: int = Field(
        30,
        ge=3,
        le=3650,
        description=(
            "days that stored payloads of workflows are kept, at least two days more than Temporal keeps histories"
        ),
    )


class Settings(ChassisSettings):
    """All of it."""

    temporal: TemporalSettings
    blobs: BlobSettings
    executor: ExecutorSettings = ExecutorSettings()
    retention: RetentionSettings = RetentionSettings()
