"""Tenants take turns on the queues of jobs, and waiting for a provider holds nobody up."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from mesh.errors import Reason, SomaError
from mesh.ids import SystemIds
from mesh.testing.contract import eventually
from soma_providers.port import ProviderBusyError
from svc_executor.adapters.temporal import TemporalRunner
from svc_executor.app.starting import JobLimits
from svc_executor.app.submit import SubmitJob, SubmitRequest
from svc_executor.domain.peers import Evaluation
from svc_executor.workflows.activities import JobActivities
from svc_executor.workflows.activity_calls import ATTEMPT
from svc_executor.workflows.workers import job_workers
from tests.in_memory.executor.peers import LocalTokens, MemoryCritic
from tests.unit.executor.rig import OWNER, Rig, compiler, picture, plan, task

if TYPE_CHECKING:
    from pydantic import JsonValue
    from temporalio.client import Client

    from soma_providers.port import Invocation, InvocationResult
    from svc_executor.domain.job import Job
    from svc_executor.domain.peers import EvaluationRequest

OTHER = replace(OWNER, tenant_id="tenant-b", subject="user-2")
MANY = 150
MOST_BEFORE = 60
"""Usually it is at most three; now and then Temporal dispatches a new tenant's task only after 20 to 30 others."""


async def submit(rig: Rig, owner: object = OWNER, **fields: JsonValue) -> Job:
    use_case = SubmitJob(rig.store, rig.starting, compiler(), rig.recorder, clock=rig.clock, ids=SystemIds())
    return await use_case(SubmitRequest(owner, plan(task("a", **fields))))  # type: ignore[arg-type]


async def test_a_tenants_first_step_waits_for_few_of_anothers_many(temporal_client: Client) -> None:
    """The only slot is held until the other tenant's attempt stands in the queue, behind all of the first one's."""
    queue = f"jobs-{SystemIds().new()}"
    rig = Rig(runner=TemporalRunner(temporal_client, queue), job_limits=JobLimits(running=MANY))
    queued, order = asyncio.Event(), list[str]()

    class Held:
        provider = "local"

        async def invoke(self, invocation: Invocation) -> InvocationResult:
            order.append(invocation.tenant_id)
            await queued.wait()
            return picture(invocation)

    rig.catalogue.providers["mermaid"] = Held()  # type: ignore[assignment]
    for _ in range(MANY):
        await submit(rig)
    job = await submit(rig, OTHER)

    async def is_queued() -> bool:
        history = await temporal_client.get_workflow_handle(job.job_id).fetch_history()
        kinds = [event.activity_task_scheduled_event_attributes.activity_type.name for event in history.events]
        return ATTEMPT in kinds

    activities = JobActivities(rig.use_cases(), rig.store, LocalTokens())
    async with job_workers(temporal_client, queue, activities, attempts=1, control=1):
        await eventually(is_queued, within_s=60.0)
        queued.set()
        await rig.ended(job)
    assert order.index(OTHER.tenant_id) <= MOST_BEFORE


async def test_attempts_that_wait_for_a_provider_hold_no_slot(temporal_client: Client) -> None:
    queue = f"jobs-{SystemIds().new()}"
    rig = Rig(runner=TemporalRunner(temporal_client, queue))
    free, asked = asyncio.Event(), set[str]()

    class Busy:
        provider = "local"

        async def invoke(self, invocation: Invocation) -> InvocationResult:
            if invocation.tenant_id == OWNER.tenant_id and not free.is_set():
                asked.add(invocation.idempotency_key)
                raise ProviderBusyError("all slots are taken", 0.2)
            return picture(invocation)

    rig.catalogue.providers["mermaid"] = Busy()  # type: ignore[assignment]
    activities = JobActivities(rig.use_cases(), rig.store, LocalTokens())
    async with job_workers(temporal_client, queue, activities, attempts=2, control=2):
        waiting = [await submit(rig) for _ in range(6)]

        async def all_asked() -> bool:
            return len(asked) == len(waiting)

        await eventually(all_asked)
        await rig.ended(await submit(rig, OTHER))
        free.set()
        for job in waiting:
            assert [each.attempt for each in (await rig.ended(job)).executions] == [1]


async def test_evaluations_that_the_critic_refuses_for_now_hold_no_slot(temporal_client: Client) -> None:
    queue = f"jobs-{SystemIds().new()}"
    free, asked, held = asyncio.Event(), set[str](), set[str]()

    def evaluated(evaluation_request: EvaluationRequest) -> Evaluation:
        if evaluation_request.job_id in held and not free.is_set():
            asked.add(evaluation_request.job_id)
            raise SomaError(Reason.OVERLOADED, "too many wait", retry_after_s=0.2)
        return Evaluation(f"evaluation of {evaluation_request.asset_id}", passes=True, score=0.9)

    rig = Rig(runner=TemporalRunner(temporal_client, queue), critic=MemoryCritic(evaluated))
    activities = JobActivities(rig.use_cases(), rig.store, LocalTokens())
    waiting = [await submit(rig, quality_gate={"enabled": True}) for _ in range(6)]
    held.update(job.job_id for job in waiting)
    async with job_workers(temporal_client, queue, activities, attempts=2, control=2):
        await eventually(lambda: asked == held, within_s=60.0)
        await rig.ended(await submit(rig, OTHER, quality_gate={"enabled": True}))
        free.set()
        for job in waiting:
            assert [each.quality_score for each in (await rig.ended(job)).executions] == [0.9]
