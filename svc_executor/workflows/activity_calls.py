"""The activities as the workflow calls them: names, time limits, retries."""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from svc_executor.domain.run import (
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

OPEN, SELECT, ATTEMPT, EVALUATE, END_STEP, CLOSE = (
    "executor.open_run",
    "executor.select",
    "executor.attempt",
    "executor.evaluate",
    "executor.end_step",
    "executor.close_run",
)
# The activities say themselves which errors are final.
_UNLIMITED_RETRIES = RetryPolicy(
    initial_interval=timedelta(milliseconds=200), backoff_coefficient=2.0, maximum_interval=timedelta(seconds=10)
)
_FOUR_TRIES = RetryPolicy(
    initial_interval=timedelta(milliseconds=200),
    backoff_coefficient=2.0,
    maximum_interval=timedelta(seconds=5),
    maximum_attempts=4,
)
_CONTROL_TIMEOUT = timedelta(seconds=30)
_EVALUATE_TIMEOUT = timedelta(minutes=2)
_CLOSE_TIMEOUT = timedelta(minutes=5)
_ATTEMPT_TIMEOUT = timedelta(hours=1)
# A worker whose event loop stands still for a while is not taken for dead.
_HEARTBEAT_TIMEOUT = timedelta(seconds=30)
_WAIT_FOR_CANCELLATION = workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED


def attempts_queue(queue: str) -> str:
    """The task queue of attempts and their evaluations, which wait for others, beside the queue of jobs."""
    return f"{queue}-attempts"


async def open_run(job_run: JobRun) -> RunSetup:
    """Put the job into RUNNING and read how far it is."""
    setup: RunSetup = await workflow.execute_activity(
        OPEN,
        job_run,
        result_type=RunSetup,
        start_to_close_timeout=_CONTROL_TIMEOUT,
        heartbeat_timeout=_HEARTBEAT_TIMEOUT,
        retry_policy=_UNLIMITED_RETRIES,
    )
    return setup


async def select(request: SelectInput) -> SelectionResult:
    """Choose a capability for an attempt."""
    selection: SelectionResult = await workflow.execute_activity(
        SELECT,
        request,
        result_type=SelectionResult,
        start_to_close_timeout=_CONTROL_TIMEOUT,
        heartbeat_timeout=_HEARTBEAT_TIMEOUT,
        retry_policy=_UNLIMITED_RETRIES,
    )
    return selection


async def attempt(request: AttemptInput) -> AttemptResult:
    """Make an attempt; when cancelled, wait until it has stopped."""
    result: AttemptResult = await workflow.execute_activity(
        ATTEMPT,
        request,
        result_type=AttemptResult,
        task_queue=attempts_queue(workflow.info().task_queue),
        start_to_close_timeout=_ATTEMPT_TIMEOUT,
        heartbeat_timeout=_HEARTBEAT_TIMEOUT,
        retry_policy=_UNLIMITED_RETRIES,
        cancellation_type=_WAIT_FOR_CANCELLATION,
    )
    return result


async def evaluate(request: AttemptInput) -> EvaluationResult:
    """Have an attempt evaluated."""
    result: EvaluationResult = await workflow.execute_activity(
        EVALUATE,
        request,
        result_type=EvaluationResult,
        task_queue=attempts_queue(workflow.info().task_queue),
        start_to_close_timeout=_EVALUATE_TIMEOUT,
        heartbeat_timeout=_HEARTBEAT_TIMEOUT,
        retry_policy=_UNLIMITED_RETRIES,
    )
    return result


async def end_step(request: EndStepInput) -> None:
    """Record that a step ended without a result."""
    await workflow.execute_activity(
        END_STEP,
        request,
        start_to_close_timeout=_CONTROL_TIMEOUT,
        heartbeat_timeout=_HEARTBEAT_TIMEOUT,
        retry_policy=_UNLIMITED_RETRIES,
    )


async def close_run(request: CloseRunInput) -> None:
    """End the run; the last try is repeated until it is recorded."""
    await workflow.execute_activity(
        CLOSE,
        request,
        start_to_close_timeout=_CLOSE_TIMEOUT,
        heartbeat_timeout=_HEARTBEAT_TIMEOUT,
        retry_policy=_UNLIMITED_RETRIES if request.last_try else _FOUR_TRIES,
    )
