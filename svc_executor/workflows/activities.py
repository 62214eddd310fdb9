"""The activities of a job: each takes on the identity of the job's owner and runs one use case."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from opentelemetry import trace
from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from mesh import context, tracing
from mesh.context import RequestContext
from mesh.errors import Reason, SomaError, is_transient
from svc_executor.app import spans
from svc_executor.app.caller import caller_for
from svc_executor.domain.job import executor_identity
from svc_executor.domain.run import (  # noqa: TC001 - the Temporal SDK reads these annotations
    AttemptInput,
    AttemptResult,
    CloseRunInput,
    EndStepInput,
    EvaluationResult,
    JobRun,
    RunSetup,
    SelectInput,
    SelectionResult,
)
from svc_executor.workflows import activity_calls

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from svc_executor.app.attempt import MakeAttempt
    from svc_executor.app.close_run import CloseRun, EndStep
    from svc_executor.app.evaluate import EvaluateAttempt
    from svc_executor.app.open_run import OpenRun
    from svc_executor.app.ports import CallerTokens, JobStore
    from svc_executor.app.select import SelectCapability
    from svc_executor.domain.job import CallerIdentity, Job

_HEARTBEAT_INTERVAL_S = 1.0
_log = logging.getLogger(__name__)


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

    def __init__(self, use_cases: UseCases, store: JobStore, identity: CallerTokens) -> None:
        self._use_cases = use_cases
        self._store = store
        self._identity = identity

    @property
    def job_activities(self) -> Sequence[Callable[..., object]]:
        """The activities to register with the worker of jobs; older workflows have their attempts there too."""
        return (self.open_run, self.select, self.attempt, self.evaluate, self.end_step, self.close_run)

    @property
    def attempt_activities(self) -> Sequence[Callable[..., object]]:
        """Those to register with the worker of attempts."""
        return (self.attempt, self.evaluate)

    @activity.defn(name=activity_calls.OPEN)
    async def open_run(self, job_run: JobRun) -> RunSetup:
        with _application_errors():
            async with _heartbeats():
                return await self._use_cases.open_run(job_run)

    @activity.defn(name=activity_calls.SELECT)
    async def select(self, request: SelectInput) -> SelectionResult:
        async with self._as_caller(request.job, request.step_id, "capability_selection", request.attempt):
            return await self._use_cases.select(request)

    @activity.defn(name=activity_calls.ATTEMPT)
    async def attempt(self, request: AttemptInput) -> AttemptResult:
        async with self._as_caller(
            request.job, request.step_id, spans.attempt_span_name(request.attempt), request.attempt
        ):
            return await self._use_cases.attempt(request)

    @activity.defn(name=activity_calls.EVALUATE)
    async def evaluate(self, request: AttemptInput) -> EvaluationResult:
        async with self._as_caller(request.job, request.step_id, "quality_evaluation", request.attempt):
            return await self._use_cases.evaluate(request)

    @activity.defn(name=activity_calls.END_STEP)
    async def end_step(self, request: EndStepInput) -> None:
        with _application_errors():
            async with _heartbeats():
                await self._use_cases.end_step(request)

    @activity.defn(name=activity_calls.CLOSE)
    async def close_run(self, request: CloseRunInput) -> None:
        """See `CloseRun`. The executor acts for itself within the tenant: a revoked key leaves nothing behind."""
        executor = executor_identity(request.job.tenant_id)
        async with self._as_caller(request.job, "", "close_run", int(request.last_try), identity=executor):
            await self._use_cases.close_run(request)
        with _application_errors():
            await self._write_spans(request.job)

    async def _write_spans(self, job_run: JobRun) -> None:
        """Write the spans of a run that ended; nothing when the job runs again already."""
        job = await self._store.job(job_run.tenant_id, job_run.job_id)
        if job.run == job_run.run and job.state.ended:
            steps = await self._store.steps(job_run.tenant_id, job_run.job_id)
            events = await self._store.events_of_run(job_run.tenant_id, job_run.job_id)
            spans.record_run(job, steps, events)

    @asynccontextmanager
    async def _as_caller(
        self, job_run: JobRun, step_id: str, operation: str, attempt: int, *, identity: CallerIdentity | None = None
    ) -> AsyncIterator[None]:
        """Work in the name of whom the job acts for, within the trace of the request that submitted the job.

        Tells the server all along that the activity is alive.
        """
        with _application_errors():
            job = await self._store.job(job_run.tenant_id, job_run.job_id)
            identity = identity or job.runs_as
            caller = await caller_for(self._identity, identity)
            request = RequestContext(
                caller,
                job.request_id or job.job_id,
                job.trace_id,
                renew_token=partial(self._identity.token_for, identity),
            )
            async with _heartbeats():
                with (
                    _span(job, step_id, operation, attempt) as traceparent,
                    context.use(replace(request, traceparent=traceparent)),
                    _application_errors(),
                ):
                    yield


@contextmanager
def _span(job: Job, step_id: str, operation: str, attempt: int) -> Iterator[str]:
    """The span of a piece of work, from its first try to its last; gives the traceparent.

    A try that will be repeated leaves its span to the one that ends the work, which has the same id.
    """
    info, own = activity.info(), spans.operation_span(job, step_id, operation, attempt)
    attributes: tracing.Attributes = {"soma.job_id": job.job_id, "soma.step_id": step_id, "soma.tries": info.attempt}
    span = tracing.begin(
        operation, spans.step_span(job, step_id), own, start=info.scheduled_time, attributes=attributes
    )
    with trace.use_span(span, end_on_exit=False, record_exception=False, set_status_on_exception=False):
        try:
            yield tracing.format_traceparent(span.get_span_context())
        except BaseException as error:
            if _will_be_retried(error):
                raise
            span.set_status(trace.Status(trace.StatusCode.ERROR, type(error).__name__))
            span.end()
            raise
        span.end()


def _will_be_retried(error: BaseException) -> bool:
    """Whether the server will have the work tried again."""
    if isinstance(error, asyncio.CancelledError):
        return activity.is_worker_shutdown()
    return isinstance(error, ApplicationError) and not error.non_retryable


@contextmanager
def _application_errors() -> Iterator[None]:
    """Tell the server which errors waiting would mend, and how long; their causes stay out of the history.

    Only outages are tried again. Whatever else an activity raises is a defect or an answer, and final.
    """
    try:
        yield
    except ApplicationError:
        raise
    except SomaError as error:
        wait = timedelta(seconds=error.retry_after_s) if error.retry_after_s else None
        # To wait for a slot is no failure: it is neither logged as one nor counted.
        expected = error.reason is Reason.OVERLOADED
        raise ApplicationError(
            error.message, type=error.reason.value, non_retryable=not is_transient(error), next_retry_delay=wait,
            category=ApplicationErrorCategory.BENIGN if expected else ApplicationErrorCategory.UNSPECIFIED,
        ) from None  # fmt: skip
    except (ConnectionError, TimeoutError):
        raise ApplicationError("a connection was lost", type=Reason.UNAVAILABLE.value) from None
    except Exception as error:  # noqa: BLE001 - see above
        _log.exception("activity %s stopped on a defect", activity.info().activity_type)
        raise ApplicationError(type(error).__name__, type=Reason.INTERNAL.value, non_retryable=True) from None


@asynccontextmanager
async def _heartbeats() -> AsyncIterator[None]:
    async def send_heartbeats() -> None:
        while True:
            activity.heartbeat()
            await asyncio.sleep(_HEARTBEAT_INTERVAL_S)

    task = asyncio.create_task(send_heartbeats(), name="heartbeat")
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
