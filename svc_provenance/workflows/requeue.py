"""Sends a dead letter's event again, with pauses, until it is applied, discarded, exhausted or expired."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from temporalio import activity, workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from mesh import durable
    from svc_provenance.app.dead_letters import RequeueStep
    from svc_provenance.domain.dead_letters import CHANGED_SIGNAL, FORMER_QUEUE, QUEUE, WORKFLOW, DeadLetterRef

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from temporalio.client import Client

    from mesh.clock import Clock
    from svc_provenance.app.dead_letters import ProcessDueDeadLetter

ADVANCE = "advance_dead_letter"
_ACTIVITY_TIMEOUT = timedelta(seconds=30)
_RETRY_POLICY = RetryPolicy(maximum_interval=timedelta(seconds=30))


@workflow.defn(name=WORKFLOW)
class RequeueWorkflow:
    """One dead letter, from its first failure until it is inactive. All of its state is in the row."""

    def __init__(self) -> None:
        self._changes = 0

    @workflow.run
    async def run(self, dead_letter: DeadLetterRef) -> str:
        """Returns the state in which the dead letter became inactive."""
        while True:
            seen = self._changes
            step: RequeueStep = await workflow.execute_activity(
                ADVANCE,
                dead_letter,
                result_type=RequeueStep,
                start_to_close_timeout=_ACTIVITY_TIMEOUT,
                retry_policy=_RETRY_POLICY,
            )
            if step.at_rest and self._changes == seen:
                return step.state
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(dead_letter)
            await self._wait(seen, step.wait_s)

    @workflow.signal(name=CHANGED_SIGNAL)
    def changed(self) -> None:
        """The dead letter changed."""
        self._changes += 1

    async def _wait(self, seen: int, seconds: float) -> None:
        try:
            await workflow.wait_condition(lambda: self._changes > seen, timeout=timedelta(seconds=seconds))
        except TimeoutError:
            return


class RequeueActivities:
    """The activity that the workflow calls."""

    def __init__(self, process_due_dead_letter: ProcessDueDeadLetter) -> None:
        self._process_due_dead_letter = process_due_dead_letter

    @activity.defn(name=ADVANCE)
    async def advance(self, dead_letter: DeadLetterRef) -> RequeueStep:
        """Does what is due."""
        return await self._process_due_dead_letter(dead_letter.tenant_id, dead_letter.dlq_id)


@asynccontextmanager
async def workers(client: Client, activities: RequeueActivities, clock: Clock) -> AsyncIterator[None]:
    """Runs the workers of both task queues while entered; on the former one workflows may still run."""
    async with (
        durable.worker(client, QUEUE, [RequeueWorkflow], [activities.advance], clock=clock),
        durable.worker(client, FORMER_QUEUE, [RequeueWorkflow], [activities.advance], clock=clock),
    ):
        yield
