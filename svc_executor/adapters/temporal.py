"""Jobs as workflows of Temporal: the workflow's id is the job's."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from mesh.errors import Reason, SomaError
from svc_executor.domain.run import CANCEL_SIGNAL, WORKFLOW

if TYPE_CHECKING:
    from temporalio.client import Client

    from svc_executor.domain.run import JobOrder

QUEUE = "multimodal"
_RPC_TIMEOUT = timedelta(seconds=5)
_RETRY_AFTER_S = 2.0


class TemporalRunner:
    """A `Runner`. `queue` is the task queue that workers of jobs poll."""

    def __init__(self, client: Client, queue: str = QUEUE) -> None:
        self._client = client
        self._queue = queue

    async def start(self, order: JobOrder) -> None:
        """See the port."""
        try:
            await self._client.start_workflow(
                WORKFLOW,
                order,
                id=order.job_id,
                task_queue=self._queue,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                rpc_timeout=_RPC_TIMEOUT,
            )
        except WorkflowAlreadyStartedError:
            return
        except RPCError as error:
            raise _unavailable() from error

    async def cancel(self, order: JobOrder, reason: str) -> None:
        """See the port."""
        handle = self._client.get_workflow_handle(order.job_id)
        try:
            await handle.signal(CANCEL_SIGNAL, reason, rpc_timeout=_RPC_TIMEOUT)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise _unavailable() from error


def _unavailable() -> SomaError:
    return SomaError(
        Reason.DEPENDENCY_UNAVAILABLE,
        "The service that runs jobs does not answer; try again shortly",
        metadata={"component": "temporal"},
        retry_after_s=_RETRY_AFTER_S,
    )
