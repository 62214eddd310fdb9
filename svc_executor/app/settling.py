"""Settling: what an attempt used goes to the selector, and what that costs is recorded, once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from svc_executor.domain.job import ExecutionStatus
from svc_executor.domain.timeline import JobFact
from svc_executor.domain.usage import NOTHING_USED

if TYPE_CHECKING:
    from svc_executor.app.ports import Selector, Work
    from svc_executor.app.recorder import Recorder
    from svc_executor.domain.job import Execution


async def settle(selector: Selector, execution: Execution) -> int:
    """Book what an ended attempt used, or give its reservation back when that was nothing; gives the cost.

    One whose end an earlier version recorded without its units is booked at what was reserved, where it cost anything.
    """
    if not execution.reservation_id:
        return 0
    earlier = execution.usage is None and not execution.usage_unknown
    if execution.usage == NOTHING_USED or (earlier and not execution.cost_micro_usd):
        await selector.release(execution.reservation_id)
        return 0
    return await selector.settle(execution.reservation_id, execution.usage)


async def record_settled(work: Work, recorder: Recorder, execution: Execution, cost_micro_usd: int) -> Execution:
    """Record that an ended attempt is settled; the cost counts, and is told to others, if it was not known before.

    An attempt that is to be judged is reported with its verdict, or by whoever closes its run.
    """
    if execution.settled:
        return execution
    known = execution.cost_known
    settled = replace(execution, settled=True, cost_micro_usd=execution.cost_micro_usd if known else cost_micro_usd)
    await work.save_execution(settled)
    if known:
        return settled
    await recorder.spent(work, settled)
    if await _is_final(work, settled):
        settled = await recorder.reported(work, settled)
    if work.job.state.ended:
        await work.publish(JobFact(work.job, await work.step_summaries()))
    return settled


async def _is_final(work: Work, execution: Execution) -> bool:
    """Whether no verdict on the attempt is to come."""
    if work.job.state.ended or execution.status is not ExecutionStatus.SUCCEEDED:
        return True
    step = await work.step(execution.step_id)
    return not step.task.gate or step.accepted_attempt == execution.attempt
