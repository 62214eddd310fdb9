"""Jobs as workflows of Temporal: the workflow's id is the job's."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, TypedDict

from temporalio.client import WorkflowExecutionStatus
from temporalio.common import Priority, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from mesh.errors import Reason, SomaError
from mesh.ids import derive
from svc_executor.domain.run import CANCEL_SIGNAL, WORKFLOW

if TYPE_CHECKING:
    from collections.abc import Sequence

    from temporalio.client import Client

    from svc_executor.domain.run import JobRun

QUEUE = "multimodal"
_RPC_TIMEOUT = timedelta(seconds=5)
_RETRY_AFTER_S = 2.0
_FAIRNESS_KEY_BYTES = 64


class _Signal(TypedDict):
    start_signal: str
    start_signal_args: Sequence[object]


class TemporalRunner:
    """A `Runner`. `queue` is the task queue that workers of jobs poll."""

    def __init__(self, client: Client, queue: str = QUEUE) -> None:
        self._client = client
        self._queue = queue

    async def start(self, job_run: JobRun) -> None:
        await self._begin(job_run, [job_run])

    async def cancel(self, job_run: JobRun, reason: str) -> None:
        await self._begin(job_run, [job_run], {"start_signal": CANCEL_SIGNAL, "start_signal_args": [reason]})

    async def close(self, job_run: JobRun, failure: str) -> None:
        await self._begin(job_run, [job_run, 0.0, failure])

    async def is_running(self, job_run: JobRun) -> bool:
        try:
            found = await self._client.get_workflow_handle(job_run.job_id).describe(rpc_timeout=_RPC_TIMEOUT)
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return False
            raise _unavailable() from error
        return found.status is WorkflowExecutionStatus.RUNNING

    async def _begin(self, job_run: JobRun, args: Sequence[object], signal: _Signal | None = None) -> None:
        """Start the workflow unless it runs; tenants take turns on the queue."""
        try:
            await self._client.start_workflow(
                WORKFLOW,
                args=args,
                id=job_run.job_id,
                task_queue=self._queue,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                rpc_timeout=_RPC_TIMEOUT,
                priority=fair_priority(job_run.tenant_id),
                **(signal or {}),
            )
        except WorkflowAlreadyStartedError:
            return
        except RPCError as error:
            raise _unavailable() from error


def fair_priority(tenant_id: str) -> Priority:
    """Let the tenant take turns with others, in the workflow and its activities."""
    key = tenant_id if len(tenant_id.encode()) <= _FAIRNESS_KEY_BYTES else derive(tenant_id)
    return Priority(fairness_key=key)


def _unavailable() -> SomaError:
    return SomaError(
        Reason.DEPENDENCY_UNAVAILABLE,
        "The service that runs jobs does not answer; try again shortly",
        metadata={"component": "temporal"},
        retry_after_s=_RETRY_AFTER_S,
    )
