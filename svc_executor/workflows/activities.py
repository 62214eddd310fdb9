"""The activities of a job: each takes on the identity of the job's owner and runs one use case."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from temporalio import activity
from temporalio.exceptions import ApplicationError

from mesh import context
from mesh.context import Caller, RequestContext
from mesh.errors import SomaError
from mesh.telemetry import tracer
from svc_executor.domain.run import (  # noqa: TC001 - the Temporal SDK reads these annotations
    AttemptOrder,
    AttemptResult,
    Choice,
    CloseOrder,
    JobOrder,
    Opening,
    SelectOrder,
    StepEnd,
    Verdict,
)
from svc_executor.workflows import calls

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from svc_executor.app.attempt import MakeAttempt
    from svc_executor.app.close_run import CloseRun, EndStep
    from svc_executor.app.evaluate import EvaluateAttempt
    from svc_executor.app.open_run import OpenRun
    from svc_executor.app.select import SelectCapability
    from svc_executor.domain.job import Job, Principal
    from svc_executor.domain.ports import Identity, JobStore

_ACTOR = "executor"
WORKFLOW_SPAN = "multimodal_job"
_PROPAGATOR = TraceContextTextMapPropagator()
_BEAT_S = 1.0


@dataclass(frozen=True)
class UseCases:
    """What the activities run."""

    open_run: OpenRun
    select: SelectCapability
    attempt: MakeAttempt
    evaluate: EvaluateAttempt
    end_step: EndStep
    close_run: CloseRun


class JobActivities:
    """The activities that `MultimodalJobWorkflow` calls."""

    def __init__(self, use_cases: UseCases, store: JobStore, identity: Identity) -> None:
        self._use_cases = use_cases
        self._store = store
        self._identity = identity

    @property
    def all(self) -> Sequence[Callable[..., object]]:
        """The activities to register with a worker."""
        return (self.open_run, self.select, self.attempt, self.evaluate, self.end_step, self.close_run)

    @activity.defn(name=calls.OPEN)
    async def open_run(self, order: JobOrder) -> Opening:
        """See `OpenRun`."""
        async with _beating():
            return await self._use_cases.open_run(order)

    @activity.defn(name=calls.SELECT)
    async def select(self, order: SelectOrder) -> Choice:
        """See `SelectCapability`."""
        async with self._acting(order.job, order.step_id, "capability_discovery"):
            return await self._use_cases.select(order)

    @activity.defn(name=calls.ATTEMPT)
    async def attempt(self, order: AttemptOrder) -> AttemptResult:
        """See `MakeAttempt`."""
        async with self._acting(order.job, order.step_id, f"execution_attempt_{order.attempt}"):
            return await self._use_cases.attempt(order)

    @activity.defn(name=calls.EVALUATE)
    async def evaluate(self, order: AttemptOrder) -> Verdict:
        """See `EvaluateAttempt`."""
        async with self._acting(order.job, order.step_id, "quality_evaluation"):
            return await self._use_cases.evaluate(order)

    @activity.defn(name=calls.END_STEP)
    async def end_step(self, order: StepEnd) -> None:
        """See `EndStep`."""
        async with _beating():
            await self._use_cases.end_step(order)

    @activity.defn(name=calls.CLOSE)
    async def close_run(self, order: CloseOrder) -> None:
        """See `CloseRun`."""
        async with self._acting(order.job, "", "close_run"):
            await self._use_cases.close_run(order)

    @asynccontextmanager
    async def _acting(self, order: JobOrder, step_id: str, work: str) -> AsyncIterator[None]:
        """Work in the name of the owner, within the trace of the request that submitted the job.

        Tells the server all along that the activity is alive.
        """
        job = await self._store.job(order.tenant_id, order.job_id)
        caller = await self._caller(job.owner)
        async with _beating():
            with (
                _spans(job, step_id, work) as traceparent,
                context.use(RequestContext(caller, order.job_id, job.trace_id, traceparent=traceparent)),
                _plain_errors(),
            ):
                yield

    async def _caller(self, owner: Principal) -> Caller:
        return Caller(
            tenant_id=owner.tenant_id,
            subject=owner.subject,
            roles=owner.roles,
            scopes=owner.scopes,
            key_id=owner.key_id,
            token=await self._identity.on_behalf(owner),
            actor=_ACTOR,
        )


@contextmanager
def _spans(job: Job, step_id: str, work: str) -> Iterator[str]:
    """Spans of the step and of the work on it, below the request that submitted the job; gives the traceparent."""
    parent = _PROPAGATOR.extract({"traceparent": job.traceparent}) if job.traceparent else None
    title = _step_title(job, step_id) if step_id else WORKFLOW_SPAN
    with (
        tracer().start_as_current_span(title, parent, attributes={"soma.job_id": job.job_id}),
        tracer().start_as_current_span(work, attributes={"soma.step_id": step_id}),
    ):
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier)
        yield carrier.get("traceparent", job.traceparent)


def _step_title(job: Job, step_id: str) -> str:
    """`step_NN_<type>`, as its plan numbers and types it."""
    tasks = job.plan.get("tasks")
    for number, task in enumerate(tasks if isinstance(tasks, list) else (), start=1):
        if isinstance(task, dict) and task.get("task_id") == step_id:
            return f"step_{number:02d}_{task.get('step_type')}"
    return step_id


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Tell the server which errors waiting would mend, and how long; their causes stay out of the history."""
    try:
        yield
    except SomaError as error:
        final = not error.rule.retryable
        raise ApplicationError(error.message, type=error.reason.value, non_retryable=final) from None


@asynccontextmanager
async def _beating() -> AsyncIterator[None]:
    async def beat() -> None:
        while True:
            activity.heartbeat()
            await asyncio.sleep(_BEAT_S)

    task = asyncio.create_task(beat(), name="heartbeat")
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
