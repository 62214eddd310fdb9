"""What the executor needs from outside, its peers aside: store, durable runner, providers, identity, meters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from mesh.idempotency import NO_KEY, RequestKey

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager, AbstractContextManager
    from datetime import datetime

    from soma_providers.port import CapabilityKey, Credential, JsonValue
    from svc_executor.domain.job import CallerIdentity, Execution, Job, JobState, Step, StepSummary
    from svc_executor.domain.provider_call import CallOutcome, ProviderCall
    from svc_executor.domain.run import JobRun
    from svc_executor.domain.timeline import Compensation, Fact, JobDescription, JobEvent


class JobTransaction(Protocol):
    """One transaction on one job, whose row stays locked until it ends."""

    @property
    def job(self) -> Job:
        """The job as it stands in this transaction."""

    async def steps(self) -> list[Step]:
        """All steps in the order of the plan."""

    async def step_summaries(self) -> list[StepSummary]:
        """All steps, without large columns, in the order of the plan."""

    async def step_with_inputs(self, step_id: str) -> dict[str, Step]:
        """A step and those that it depends on, by name; KeyError when the plan has none of that name."""

    async def step(self, step_id: str) -> Step:
        """One step; KeyError when the plan has none of that name."""

    async def execution(self, step_id: str, attempt: int) -> Execution | None:
        """One attempt with its content, if it was started."""

    async def execution_by_id(self, execution_id: str) -> Execution | None:
        """One attempt of the job with its content, by its id, a UUID."""

    async def executions(self, names: Sequence[tuple[str, int]]) -> list[Execution]:
        """The attempts of these steps and numbers that were started, without content, in any order."""

    async def last_executions(self) -> list[Execution]:
        """The last attempt, without content, of each step that has one."""

    async def executions_to_compensate(self, asset_ids: Sequence[str]) -> list[Execution]:
        """The attempts, without content, that are not settled or recorded one of these assets, by start."""

    async def committed_micro_usd(self) -> int:
        """What settled attempts of all runs cost and what is reserved for others, in millionths of a US dollar."""

    async def recorded_assets(self) -> set[str]:
        """The assets that attempts of all runs recorded."""

    async def unreported(self) -> list[Execution]:
        """The attempts, with content, that are not reported yet, in the order they began."""

    async def compensation(self, run: int, position: int) -> Compensation | None:
        """One compensation, if it is listed."""

    async def compensations(self, run: int) -> list[Compensation]:
        """The compensations of one run, in order."""

    async def unfinished_compensations(self) -> list[Compensation]:
        """The compensations of all runs that are not done, in order."""

    async def save_job(self, job: Job) -> None:
        """Replace the job."""

    async def save_step(self, step: Step) -> None:
        """Replace a step."""

    async def save_execution(self, execution: Execution) -> None:
        """Add or replace an attempt; ValueError for one that was read without its content."""

    async def save_compensation(self, compensation: Compensation) -> None:
        """Add or replace a compensation, known by its job, run and position."""

    async def call(self, execution_id: str) -> ProviderCall | None:
        """The call that was started for an attempt and is not forgotten yet."""

    async def calls(self) -> list[ProviderCall]:
        """All such calls of the job."""

    async def save_call(self, call: ProviderCall) -> None:
        """Add or replace the call of an attempt."""

    async def remove_call(self, execution_id: str) -> None:
        """Forget a call, if there is one."""

    async def record_request(self, key: RequestKey) -> bool:
        """Record a request. Returns whether it is new or has no id.

        IDEMPOTENCY_MISMATCH when its id was used for another request.
        """

    async def has_open(self, count: int) -> bool:
        """Whether the job's tenant has at least so many jobs, at least one, that run or wait."""

    async def append(self, event: JobEvent) -> None:
        """Put an event at the end of the timeline; its sequence is given here and watchers are woken at commit."""

    async def publish(self, fact: Fact) -> None:
        """Publish an event, if and when the transaction commits."""


@dataclass(frozen=True)
class Submission:
    """A new job, and the key of the request that submits it."""

    job: Job
    plan: Mapping[str, JsonValue]
    steps: Sequence[Step]
    first_event: JobEvent
    key: RequestKey = NO_KEY
    max_open: int = 1_000


class Wakeup(Protocol):
    """Wakes one watcher of one job."""

    async def wait(self, seconds: float) -> bool:
        """Wait until the timeline may have grown since the last wait, or the time is over: then False."""


class JobStore(Protocol):
    """Jobs of all tenants, each seen by its own tenant only. Raises NOT_FOUND for any other."""

    async def submit(self, submission: Submission) -> Job:
        """Add a job, or give back the one that the same request made before.

        Raises IDEMPOTENCY_MISMATCH when that request had another body, RATE_LIMITED when `max_open` jobs of the tenant
        have not ended.
        """

    def transaction(self, tenant_id: str, job_id: str) -> AbstractAsyncContextManager[JobTransaction]:
        """Change a job in one transaction."""

    async def job(self, tenant_id: str, job_id: str) -> Job:
        """Read a job."""

    async def steps(self, tenant_id: str, job_id: str) -> list[StepSummary]:
        """Read its steps, in the order of the plan."""

    async def describe(self, tenant_id: str, job_id: str) -> JobDescription:
        """Read everything recorded of a job, as of one moment: that may be much."""

    async def page(self, tenant_id: str, state: JobState | None, before: str, limit: int) -> list[Job]:
        """Jobs with ids below `before` (empty: all), newest first."""

    async def events(self, tenant_id: str, job_id: str, after: int, limit: int) -> list[JobEvent]:
        """Events with a sequence above `after`, in order."""

    async def events_of_run(self, tenant_id: str, job_id: str) -> list[JobEvent]:
        """Events since the job was set RUNNING for the last time, that one included; all events before it ever was."""

    def wakeup(self, job_id: str) -> AbstractAsyncContextManager[Wakeup]:
        """Be woken when the timeline of a job grows."""

    async def next_to_start(self, tenant_id: str, running: int) -> list[JobRun]:
        """The oldest PENDING jobs, so many as may run in addition to the RUNNING ones, in the order of their ids."""

    async def waiting_tenants(self, after: str, before: datetime, limit: int) -> list[str]:
        """Tenants above `after` (empty: all) whose oldest PENDING job was made before a moment, in order."""

    async def calls(self, tenant_id: str, job_id: str) -> list[ProviderCall]:
        """The calls of a job that are not forgotten yet."""

    async def orphaned_calls(self, before: datetime, limit: int) -> list[ProviderCall]:
        """Calls of all tenants that were started before a moment and whose attempts ended or are gone, oldest first."""

    async def delete_call(self, call: ProviderCall) -> None:
        """Forget a call, also one whose job is gone."""

    async def running(self, after: str, limit: int) -> list[JobRun]:
        """RUNNING jobs of all tenants with ids above `after` (empty: all), in the order of their ids."""

    async def claim_compensations(self, before: datetime, now: datetime, limit: int) -> list[Compensation]:
        """Compensations of all tenants' ended jobs that are not done and were last tried before a moment, oldest first.

        Each counts as tried now, so that nobody else is given it. Those of runs that a resume replaced are left out.
        """

    async def open_compensations(self, limit: int) -> int:
        """How many compensations of all tenants are not done; counts no further than `limit`."""


class OutcomeStore(Protocol):
    """Stores outcomes of provider calls until their attempt is recorded."""

    async def save(self, tenant_id: str, key: str, outcome: CallOutcome) -> None:
        """Store an outcome under a key of its tenant; PAYLOAD_TOO_LARGE when it is too large."""

    async def find(self, tenant_id: str, key: str) -> CallOutcome | None:
        """The outcome under a key, if there is one."""

    async def delete(self, tenant_id: str, key: str) -> None:
        """Delete it; nothing happens when there is none."""


class Runner(Protocol):
    """Runs jobs durably."""

    async def start(self, job_run: JobRun) -> None:
        """Start a run; does nothing while the job is running already."""

    async def cancel(self, job_run: JobRun, reason: str) -> None:
        """Ask a run to stop; one that does not run is started, so that it closes."""

    async def is_running(self, job_run: JobRun) -> bool:
        """Whether the job has a workflow that has not ended."""

    async def close(self, job_run: JobRun, failure: str) -> None:
        """Close a run whose workflow was lost, as failed; does nothing while the job is running."""


class InputSlots(Protocol):
    """Bounds how many attempts hold large inputs in the memory of this process."""

    def enter(self, tenant_id: str) -> AbstractContextManager[None]:
        """Hold a slot for the enclosed block; raises ProviderBusyError at once when none is free."""


class Credentials(Protocol):
    """Secrets of tenants, read when they are needed."""

    async def read(self, tenant_id: str, path: str) -> Mapping[str, Credential]:
        """The credentials below a tenant's folder; empty when `path` is."""


class CallerTokens(Protocol):
    """Issues the tokens that the executor calls other services with."""

    async def token_for(self, owner: CallerIdentity) -> str:
        """A token for the owner of a job, with the executor as the actor. UNAUTHENTICATED when its key is revoked."""


class Meter(Protocol):
    """Counts what operators watch."""

    def execution(self, execution: Execution) -> None:
        """An attempt ended at its provider."""

    def cost(self, execution: Execution) -> None:
        """What an attempt cost is known."""

    def rework(self, modality: str, reason: str) -> None:
        """An attempt was sent back."""

    def fallback(self, modality: str, reason: str) -> None:
        """A capability was excluded, and the next one selected."""

    def compensation(self, kind: str, *, done: bool) -> None:
        """A compensation was tried."""

    def rollback(self, seconds: float) -> None:
        """All compensations of a run were tried."""

    def open_compensations(self, number: int) -> None:
        """So many compensations are not done."""

    def unfinished_erasures(self, number: int) -> None:
        """Of so many erased assets jobs may still keep a text."""

    def lost_run(self) -> None:
        """A run was closed whose workflow was lost."""

    def breaker(self, capability: CapabilityKey, state: str) -> None:
        """A circuit breaker changed its state."""

    def tenant_circuits(self, open_now: Callable[[], Mapping[CapabilityKey, int]]) -> None:
        """Shows how many tenants have a circuit of their own open, by capability, whenever it is asked."""
