"""Jobs over gRPC: the whole chain, Postgres and Temporal; peers and providers in memory."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from google.protobuf import struct_pb2

from mesh import durable
from mesh.clock import SystemClock
from mesh.errors import Reason, SomaError
from mesh.ids import SystemIds
from mesh.rpc.wellknown import json_object
from mesh.settings import BlobSettings
from mesh.stores import blobs
from mesh.stores.postgres import SYSTEM, Postgres
from mesh.testing.audit import auditor
from mesh.testing.contract import eventually
from mesh.testing.server import RunningServer, served
from mesh.testing.tokens import BOB
from soma.executor.v1 import job_pb2, job_service_pb2, plan_service_pb2
from soma.executor.v1.job_service_pb2_grpc import JobServiceStub, add_JobServiceServicer_to_server
from soma.executor.v1.plan_service_pb2_grpc import PlanServiceStub, add_PlanServiceServicer_to_server
from svc_executor.adapters.postgres import PostgresJobs
from svc_executor.adapters.temporal import TemporalRunner
from svc_executor.app.control import CancelJob, ResumeJob
from svc_executor.app.read import ListJobs
from svc_executor.app.submit import SubmitJob
from svc_executor.app.watch import WatchJob
from svc_executor.events.published import EventEncoder
from svc_executor.rpc.job_service import JobServicer, JobUseCases
from svc_executor.rpc.plan_service import PlanServicer
from svc_executor.workflows.activities import JobActivities
from svc_executor.workflows.workers import job_workers
from tests.in_memory.executor.peers import LocalTokens
from tests.unit.executor.rig import Rig, compiler, down, picture, plan, task

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mesh.settings import TemporalSettings
    from soma.executor.v1.job_service_pb2_grpc import JobServiceAsyncStub
    from soma.executor.v1.plan_service_pb2_grpc import PlanServiceAsyncStub
    from soma_providers.port import Invocation, InvocationResult, JsonValue
    from tests.conftest import Database

CONFIG = (Path(__file__).parents[3] / "protos" / "service_config.json").read_text()


@dataclass
class Executor:
    """A served executor."""

    rig: Rig
    server: RunningServer
    postgres: Postgres
    jobs: JobServiceAsyncStub
    plans: PlanServiceAsyncStub

    async def submit(self, *tasks: dict[str, JsonValue], **fields: JsonValue) -> job_pb2.Job:
        """Submit a plan of these tasks."""
        return await self.jobs.SubmitJob(job_service_pb2.SubmitJobRequest(plan=document(*tasks, **fields)))

    async def events(self, job_id: str, after: int = 0) -> list[job_pb2.JobEvent]:
        """Watch to the end; heartbeats are left out."""
        stream = self.jobs.WatchJob(job_service_pb2.WatchJobRequest(job_id=job_id, after=after), timeout=60)
        return [event async for event in stream if event.type != job_pb2.JOB_EVENT_TYPE_HEARTBEAT]

    async def as_other_tenant(self) -> JobServiceAsyncStub:
        """Call as somebody else."""
        return JobServiceStub(await self.server.channel_as(BOB))


def document(*tasks: dict[str, JsonValue], **fields: JsonValue) -> struct_pb2.Struct:
    message = struct_pb2.Struct()
    message.update(plan(*tasks, **fields))
    return message


@pytest.fixture
async def executor(database: Database, temporal_settings: TemporalSettings) -> AsyncIterator[Executor]:
    clock, ids, queue = SystemClock(), SystemIds(), f"jobs-{SystemIds().new()}"
    async with AsyncExitStack() as stack:
        postgres = await stack.enter_async_context(Postgres.open(await database("executor")))
        bytes_ = await stack.enter_async_context(blobs.open(BlobSettings(url="memory://")))
        client = await stack.enter_async_context(durable.client(temporal_settings, bytes_))
        store = PostgresJobs(postgres, EventEncoder(ids, clock), auditor("executor"))
        await stack.enter_async_context(store.listening())
        rig = Rig(store=store, runner=TemporalRunner(client, queue))
        activities = JobActivities(rig.use_cases(), store, LocalTokens())
        await stack.enter_async_context(job_workers(client, queue, activities))
        use_cases = JobUseCases(
            store=store,
            submit=SubmitJob(store, rig.starting, compiler(), rig.recorder, clock=clock, ids=ids),
            list=ListJobs(store),
            cancel=CancelJob(store, rig.runner),
            resume=ResumeJob(store, rig.runner, rig.assets, rig.recorder, rig.starting),
            watch=WatchJob(store, rig.recorder),
        )
        server = await stack.enter_async_context(
            served(
                [
                    (add_JobServiceServicer_to_server, JobServicer(use_cases)),
                    (add_PlanServiceServicer_to_server, PlanServicer(compiler())),
                ],
                service_config=CONFIG,
            )
        )
        yield Executor(rig, server, postgres, JobServiceStub(server.channel), PlanServiceStub(server.channel))


async def test_a_job_runs_from_its_plan_to_a_document(executor: Executor) -> None:
    executor.rig.catalogue.providers["mermaid"].script = down
    job = await executor.submit(
        task("intro", "generate_text", params={"prompt": "Write"}),
        task("fig", params={"source": "graph"}, quality_gate={"enabled": True}),
        task("doc", "compose_document", params={"sections": ["${intro.text}", "${fig.asset}"]}),
        metadata={"title": "SRS"},
    )
    assert (job.state, job.title, job.created_by) == (job_pb2.JOB_STATE_PENDING, "SRS", "alice")
    events = await executor.events(job.job_id)
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert [event.terminal for event in events] == [False] * (len(events) - 1) + [True]
    assert events[-1].progress == 1.0
    done = await executor.jobs.GetJob(job_service_pb2.GetJobRequest(job_id=job.job_id))
    assert done.state == job_pb2.JOB_STATE_COMPLETED
    assert [step.capability_id for step in done.steps] == ["talker@local", "plantuml@local", "composer@local"]
    assert done.steps[0].text == "Words."
    assert done.steps[1].quality_score == 1.0


async def test_the_description_tells_the_whole_story(executor: Executor) -> None:
    executor.rig.catalogue.providers["mermaid"].script = down
    job = await executor.submit(task("fig", params={"source": "graph", "depth": 2}))
    events = await executor.events(job.job_id)
    story = await executor.jobs.DescribeJob(job_service_pb2.DescribeJobRequest(job_id=job.job_id))
    assert list(story.events) == events
    assert json_object(story.plan) == plan(task("fig", params={"source": "graph", "depth": 2}))
    assert [(each.tool_id, each.error_code) for each in story.executions] == [
        ("mermaid", "UNAVAILABLE"),
        ("plantuml", ""),
    ]
    assert story.executions[1].fallback_reason.startswith("mermaid@local: UNAVAILABLE")


async def test_a_watch_resumes_after_any_event_without_gap_or_duplicate(executor: Executor) -> None:
    job = await executor.submit(task("a"), task("b", depends_on=["a"]))
    whole = await executor.events(job.job_id)
    assert len(whole) > 2
    for cut in range(1, len(whole)):
        rest = await executor.events(job.job_id, after=cut)
        assert [event.SerializeToString() for event in rest] == [event.SerializeToString() for event in whole[cut:]]


async def test_the_last_event_id_header_resumes_a_watch(executor: Executor) -> None:
    job = await executor.submit(task("a"))
    whole = await executor.events(job.job_id)
    stream = executor.jobs.WatchJob(
        job_service_pb2.WatchJobRequest(job_id=job.job_id), metadata=(("last-event-id", "3"),), timeout=30
    )
    assert [event.sequence async for event in stream] == [event.sequence for event in whole[3:]]


async def test_a_silent_watch_beats(executor: Executor) -> None:
    class Endless:
        provider = "local"

        async def invoke(self, invocation: Invocation) -> InvocationResult:
            await asyncio.Event().wait()
            return picture(invocation)

    executor.rig.catalogue.providers["mermaid"] = Endless()  # type: ignore[assignment]
    job = await executor.submit(task("a"))
    stream = executor.jobs.WatchJob(job_service_pb2.WatchJobRequest(job_id=job.job_id), timeout=30)
    async for event in stream:
        if event.type == job_pb2.JOB_EVENT_TYPE_HEARTBEAT:
            break
    assert (event.type, event.sequence, event.terminal) == (job_pb2.JOB_EVENT_TYPE_HEARTBEAT, 0, False)
    await executor.jobs.CancelJob(job_service_pb2.CancelJobRequest(job_id=job.job_id, reason="enough"))
    assert (await executor.events(job.job_id))[-1].job_state == job_pb2.JOB_STATE_CANCELLED
    ended = await executor.jobs.CancelJob(job_service_pb2.CancelJobRequest(job_id=job.job_id))
    assert (ended.state, ended.message) == (job_pb2.JOB_STATE_CANCELLED, "enough")


async def test_a_bad_plan_is_refused_with_every_error_at_its_pointer(executor: Executor) -> None:
    with pytest.raises(SomaError) as caught:
        await executor.submit(task("a", depends_on=["b"], colour="red"))
    assert caught.value.reason is Reason.INVALID_PLAN
    assert [field.field for field in caught.value.fields] == ["/tasks/0/colour", "/tasks/0/depends_on/0"]
    answer = await executor.plans.ValidatePlan(
        plan_service_pb2.ValidatePlanRequest(plan=document(task("a", depends_on=["b"])))
    )
    assert (answer.valid, [error.code for error in answer.errors]) == (False, ["DANGLING_REFERENCE"])


async def test_a_good_plan_is_validated_without_running(executor: Executor) -> None:
    answer = await executor.plans.ValidatePlan(
        plan_service_pb2.ValidatePlanRequest(
            plan=document(task("a"), task("b", depends_on=["a"]), budget={"max_cost_cents": 3})
        )
    )
    assert answer.valid
    assert [list(layer.task_ids) for layer in answer.layers] == [["a"], ["b"]]
    assert answer.max_cost_micro_usd == 30_000
    assert len((await executor.jobs.ListJobs(job_service_pb2.ListJobsRequest())).jobs) == 0


async def test_the_idempotency_key_header_equals_the_request_id(executor: Executor) -> None:
    request = job_service_pb2.SubmitJobRequest(plan=document(task("a")))
    by_header = await executor.jobs.SubmitJob(request, metadata=(("idempotency-key", "k"),))
    by_field = await executor.jobs.SubmitJob(job_service_pb2.SubmitJobRequest(plan=document(task("a")), request_id="k"))
    assert by_header.job_id == by_field.job_id
    with pytest.raises(SomaError) as caught:
        await executor.jobs.SubmitJob(job_service_pb2.SubmitJobRequest(plan=document(task("b")), request_id="k"))
    assert caught.value.reason is Reason.IDEMPOTENCY_MISMATCH


async def test_nothing_of_a_job_is_reachable_from_another_tenant(executor: Executor) -> None:
    job = await executor.submit(task("a"))
    await executor.events(job.job_id)
    other = await executor.as_other_tenant()
    for call in (
        other.GetJob(job_service_pb2.GetJobRequest(job_id=job.job_id)),
        other.CancelJob(job_service_pb2.CancelJobRequest(job_id=job.job_id)),
        other.ResumeJob(job_service_pb2.ResumeJobRequest(job_id=job.job_id)),
        other.DescribeJob(job_service_pb2.DescribeJobRequest(job_id=job.job_id)),
    ):
        with pytest.raises(SomaError) as caught:
            await call
        assert caught.value.reason is Reason.NOT_FOUND
    with pytest.raises(SomaError) as refused:
        [event async for event in other.WatchJob(job_service_pb2.WatchJobRequest(job_id=job.job_id))]
    assert refused.value.reason is Reason.NOT_FOUND
    assert list((await other.ListJobs(job_service_pb2.ListJobsRequest())).jobs) == []


async def test_jobs_are_listed_in_pages(executor: Executor) -> None:
    made = [(await executor.submit(task("a"))).job_id for _ in range(3)]
    request = job_service_pb2.ListJobsRequest(page_size=2)
    first = await executor.jobs.ListJobs(request)
    request.page_token = first.next_page_token
    second = await executor.jobs.ListJobs(request)
    assert [job.job_id for job in (*first.jobs, *second.jobs)] == made[::-1]
    assert second.next_page_token == ""
    with pytest.raises(SomaError) as caught:
        await executor.jobs.ListJobs(job_service_pb2.ListJobsRequest(page_token="nonsense"))
    assert [field.field for field in caught.value.fields] == ["page_token"]


async def test_only_failed_and_partial_jobs_are_resumed(executor: Executor) -> None:
    job = await executor.submit(task("a"))
    await executor.events(job.job_id)
    with pytest.raises(SomaError) as caught:
        await executor.jobs.ResumeJob(job_service_pb2.ResumeJobRequest(job_id=job.job_id))
    assert caught.value.reason is Reason.FAILED_PRECONDITION


async def test_facts_wait_in_the_outbox_with_the_state_they_tell_of(executor: Executor) -> None:
    job = await executor.submit(task("a", params={"prompt": "Draw"}))
    await executor.events(job.job_id)
    async with executor.postgres.transaction(SYSTEM) as connection:
        rows = await connection.fetch("SELECT type, key, topic, tenant_id FROM outbox ORDER BY id")
    assert {(row["key"], row["topic"], row["tenant_id"]) for row in rows} == {
        (job.job_id, "executor.events", "acme"),
        ("acme", "audit.events", "acme"),
    }
    assert [row["type"].rpartition(".")[2] for row in rows].count("ExecutionFinished") == 1


async def test_neither_history_nor_rows_hold_the_callers_token(executor: Executor) -> None:
    job = await executor.submit(task("a"))
    await executor.events(job.job_id)
    token = (await executor.server.issuer.token()).rpartition(".")[0]
    async with executor.postgres.transaction(SYSTEM) as connection:
        owner = await connection.fetchval("SELECT owner::text FROM multimodal_job_plans WHERE id = $1", job.job_id)
    assert token.partition(".")[0] not in owner
    runner = executor.rig.runner
    assert isinstance(runner, TemporalRunner)
    handle = runner._client.get_workflow_handle(job.job_id)

    async def closed() -> bool:
        return (await handle.describe()).close_time is not None

    await eventually(closed)
    assert token.partition(".")[0] not in (await handle.fetch_history()).to_json()


async def test_an_unknown_job_is_not_found(executor: Executor) -> None:
    with pytest.raises(SomaError) as caught:
        await executor.jobs.GetJob(job_service_pb2.GetJobRequest(job_id=SystemIds().new()))
    assert caught.value.reason is Reason.NOT_FOUND
