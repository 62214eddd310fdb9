"""JobService."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from mesh import context as request_context
from mesh.context import caller
from mesh.errors import invalid
from mesh.rpc.heartbeats import DEFAULT_HEARTBEATS
from mesh.rpc.paging import page_size
from mesh.rpc.request_keys import request_key
from soma.executor.v1 import job_service_pb2, job_service_pb2_grpc
from svc_executor.app.control import ControlRequest
from svc_executor.app.submit import SubmitRequest
from svc_executor.domain.job import CallerIdentity
from svc_executor.rpc import convert

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import grpc.aio

    from mesh.idempotency import RequestKey
    from mesh.rpc.heartbeats import Heartbeats
    from mesh.rpc.request_keys import IdempotentRequest
    from soma.executor.v1 import job_pb2
    from svc_executor.app.control import CancelJob, ResumeJob
    from svc_executor.app.ports import JobStore
    from svc_executor.app.read import ListJobs
    from svc_executor.app.submit import SubmitJob
    from svc_executor.app.watch import WatchJob

    Context: TypeAlias = grpc.aio.ServicerContext[object, object]

_LAST_EVENT_ID = "last-event-id"


@dataclass(frozen=True)
class JobUseCases:
    """What the service offers."""

    store: JobStore
    submit: SubmitJob
    list: ListJobs
    cancel: CancelJob
    resume: ResumeJob
    watch: WatchJob


class JobServicer(job_service_pb2_grpc.JobServiceServicer):
    """Durable jobs."""

    def __init__(self, use_cases: JobUseCases, heartbeats: Heartbeats = DEFAULT_HEARTBEATS) -> None:
        self._use_cases = use_cases
        self._heartbeats = heartbeats

    async def SubmitJob(self, request: job_service_pb2.SubmitJobRequest, context: Context) -> job_pb2.Job:
        """Accept a plan."""
        current = request_context.current()
        submit_request = SubmitRequest(
            owner=_caller_identity(),
            plan=await asyncio.to_thread(convert.plan_from_proto, request.plan),
            session_id=_storable("session_id", request.session_id),
            key=await _key(request),
            call_id=current.request_id if current else "",
            trace_id=current.trace_id if current else "",
            traceparent=current.traceparent if current else "",
        )
        job = await self._use_cases.submit(submit_request)
        return convert.job_to_proto(job, await self._use_cases.store.steps(job.tenant_id, job.job_id))

    async def GetJob(self, request: job_service_pb2.GetJobRequest, context: Context) -> job_pb2.Job:
        """Read a job."""
        return await self._job(request.job_id)

    async def ListJobs(
        self, request: job_service_pb2.ListJobsRequest, context: Context
    ) -> job_service_pb2.ListJobsResponse:
        """List jobs."""
        page = await self._use_cases.list(
            caller().tenant_id, convert.job_state_from_proto(request.state), page_size(request), request.page_token
        )
        return job_service_pb2.ListJobsResponse(
            jobs=[convert.job_to_proto(job) for job in page.jobs], next_page_token=page.next_page_token
        )

    async def CancelJob(self, request: job_service_pb2.CancelJobRequest, context: Context) -> job_pb2.Job:
        """Ask a job to stop."""
        job_id = request.job_id.lower()
        key, reason = await _key(request), _storable("reason", request.reason)
        await self._use_cases.cancel(ControlRequest(_caller_identity(), job_id, key, reason))
        return await self._job(job_id)

    async def ResumeJob(self, request: job_service_pb2.ResumeJobRequest, context: Context) -> job_pb2.Job:
        """Run a job again."""
        job_id = request.job_id.lower()
        await self._use_cases.resume(ControlRequest(_caller_identity(), job_id, await _key(request)))
        return await self._job(job_id)

    async def DescribeJob(
        self, request: job_service_pb2.DescribeJobRequest, context: Context
    ) -> job_service_pb2.JobDescription:
        """Tell everything recorded of a job."""
        description = await self._use_cases.store.describe(caller().tenant_id, request.job_id.lower())
        # In a thread: its plan and parameters may be large.
        return await asyncio.to_thread(convert.description_to_proto, description)

    async def WatchJob(
        self, request: job_service_pb2.WatchJobRequest, context: Context
    ) -> AsyncIterator[job_pb2.JobEvent]:
        """Stream a timeline."""
        tenant_id, job_id, watch = caller().tenant_id, request.job_id.lower(), self._use_cases.watch
        events_of_job = watch(tenant_id, job_id, request.after or _last_event_id(context))
        async with aclosing(
            self._heartbeats.add_to(events_of_job, lambda: watch.heartbeat(tenant_id, job_id))
        ) as events:
            async for event in events:
                yield convert.job_event_to_proto(event)

    async def _job(self, job_id: str) -> job_pb2.Job:
        store, tenant = self._use_cases.store, caller().tenant_id
        job_id = job_id.lower()
        return convert.job_to_proto(await store.job(tenant, job_id), await store.steps(tenant, job_id))


def _caller_identity() -> CallerIdentity:
    current = caller()
    return CallerIdentity(current.tenant_id, current.subject, current.roles, current.scopes, current.key_id)


def _last_event_id(context: Context) -> int:
    text = next((str(value) for key, value in context.invocation_metadata() or () if key == _LAST_EVENT_ID), "")
    if not text:
        return 0
    if not text.isdecimal():
        raise invalid("after", "the Last-Event-ID must be the sequence of an event, a whole number")
    return min(int(text), 2**62)


async def _key(request: IdempotentRequest) -> RequestKey:
    _storable("request_id", request.request_id)
    return await request_key(request)


def _storable(field: str, text: str) -> str:
    if "\x00" in text:
        raise invalid(field, "must not contain the character U+0000")
    return text
