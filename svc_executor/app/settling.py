"""Settling: what an attempt used goes to the selector, and what that costs is recorded, once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from svc_executor.domain.job import ExecutionStatus
from svc_executor.domain.timeline import JobFact, StepFact
from svc_executor.domain.usage import NO_USAGE

if TYPE_CHECKING:
    from svc_executor.app.ports import JobTransaction, Selector
    from svc_executor.app.recorder import Recorder
    from svc_executor.domain.job import Execution


async def settle(selector: Selector, execution: Execution) -> int:
    """Book what an ended attempt used, or give its reservation back when that was nothing; gives the cost.

    One whose end an earlier version recorded without its units is booked at what was reserved, where it cost anything.
    """
    if not execution.reservation_id:
        return 0
    earlier = execution.usage is None and not execution.usage_unknown
    if execution.usage == NO_USAGE or (earlier and not execution.cost_micro_usd):
        await selector.release(execution.reservation_id)
        return 0
    return await selector.settle(execution.reservation_id, execution.usage)


async def record_settled(
    transaction: JobTransaction, recorder: Recorder, execution: Execution, cost_micro_usd: int
) -> Execution:
    """Record that an ended attempt is settled; the cost counts, and is told to others, if it was not known before.

    An attempt that is to be evaluated is published with its evaluation, or when its run is closed.
    """
    if execution.settled:
        return execution
    known = execution.cost_known
    settled = replace(execution, settled=True, cost_micro_usd=execution.cost_micro_usd if known else cost_micro_usd)
    await transaction.save_execution(settled)
    if known:
        return settled
    await recorder.record_cost(transaction, settled)
    if settled.cost_micro_usd:
        await transaction.publish(StepFact(await transaction.step(settled.step_id)))
    if await _is_final(transaction, settled):
        settled = await recorder.publish_end(transaction, settled)
    if transaction.job.state.ended:
        await transaction.publish(JobFact(transaction.job))
    return settled


async def _is_final(transaction: JobTransaction, execution: Execution) -> bool:
    """Whether no evaluation of the attempt follows."""
    if transaction.job.state.ended or execution.status is not ExecutionStatus.SUCCEEDED:
        return True
    step = await transaction.step(execution.step_id)
    return not step.task.requires_evaluation or step.accepted_attempt == execution.attempt
