"""Durable jobs."""

# Generated from protos/soma/executor/v1/job_service.proto by tools/python_methods.py. DO NOT EDIT!

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping

from soma_client.calls import Caller
from soma_client.gen.soma.executor import v1 as executor_v1
from soma_client.paging import Pages
from soma_client.structs import to_struct


class JobServiceMethods:
    """Durable jobs."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def submit(
        self, plan: Mapping[str, object], *, session_id: str = "", request_id: str = "", timeout: float | None = None
    ) -> executor_v1.Job:
        """Checks and stores a plan, starts its job and answers at once. Idempotent on request_id. So many jobs
        of a tenant run at once (16 by default); the others are PENDING and start in the order in which they
        were submitted. A tenant with as many jobs that have not ended as it may (1,000 by default) gets
        RESOURCE_EXHAUSTED with reason RATE_LIMITED.

        Args:
            plan: The plan, a Task-DSL 1.0 document (docs/multimodal/TASK_DSL.md). Required.
            session_id: Session it belongs to; empty: none.
            request_id: Makes the call idempotent; at most 128 characters. Equals the Idempotency-Key
                header.
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """
        request = executor_v1.SubmitJobRequest(
            plan=to_struct(plan), session_id=session_id, request_id=request_id or self._caller.new_id()
        )
        return await self._caller.unary("/soma.executor.v1.JobService/SubmitJob", request, executor_v1.Job, timeout)

    async def get(self, job_id: str, *, timeout: float | None = None) -> executor_v1.Job:
        """Reads a job with its steps.

        Args:
            job_id: Id of the job. Required.
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """
        request = executor_v1.GetJobRequest(job_id=job_id)
        return await self._caller.unary("/soma.executor.v1.JobService/GetJob", request, executor_v1.Job, timeout)

    def list(
        self,
        *,
        state: executor_v1.JobState = executor_v1.JobState(0),
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> Pages[executor_v1.ListJobsResponse, executor_v1.Job]:
        """Lists jobs without their steps, newest first.

        Args:
            state: Only those in this state.
            page_size: Most entries a page, 1 to 500; 0 means 50.
            page_token: next_page_token of the page before; the filters must be the same.
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """

        def request(token: str) -> executor_v1.ListJobsRequest:
            return executor_v1.ListJobsRequest(state=state, page_size=page_size, page_token=token)

        return Pages(
            self._caller,
            "/soma.executor.v1.JobService/ListJobs",
            request,
            executor_v1.ListJobsResponse,
            lambda page: page.jobs,
            page_token=page_token,
            timeout=timeout,
        )

    async def cancel(
        self, job_id: str, *, reason: str = "", request_id: str = "", timeout: float | None = None
    ) -> executor_v1.Job:
        """Stops a job and compensates what it made. Cancelling an ended job changes nothing. A job whose run
        was lost is ended all the same. Idempotent on request_id.

        Args:
            job_id: Id of the job. Required.
            reason: Why, for the record; at most 500 characters.
            request_id: Makes the call idempotent; at most 128 characters. Equals the Idempotency-Key
                header.
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """
        request = executor_v1.CancelJobRequest(
            job_id=job_id, reason=reason, request_id=request_id or self._caller.new_id()
        )
        return await self._caller.unary("/soma.executor.v1.JobService/CancelJob", request, executor_v1.Job, timeout)

    async def resume(self, job_id: str, *, request_id: str = "", timeout: float | None = None) -> executor_v1.Job:
        """Runs a FAILED or PARTIAL job again from its recorded results: steps that succeeded and whose assets
        the job still holds are not run again. A RUNNING job is resumed only when its run was lost. It then
        acts for the caller. Idempotent on request_id.

        Args:
            job_id: Id of the job. Required.
            request_id: Makes the call idempotent; at most 128 characters. Equals the Idempotency-Key
                header.
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """
        request = executor_v1.ResumeJobRequest(job_id=job_id, request_id=request_id or self._caller.new_id())
        return await self._caller.unary("/soma.executor.v1.JobService/ResumeJob", request, executor_v1.Job, timeout)

    async def describe(self, job_id: str, *, timeout: float | None = None) -> executor_v1.JobDescription:
        """One readable account of a run: plan, steps, every attempt, events, compensations.

        Args:
            job_id: Id of the job. Required.
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """
        request = executor_v1.DescribeJobRequest(job_id=job_id)
        return await self._caller.unary(
            "/soma.executor.v1.JobService/DescribeJob", request, executor_v1.JobDescription, timeout
        )

    def watch(self, job_id: str, *, after: int = 0) -> AsyncGenerator[executor_v1.JobEvent, None]:
        """Streams the timeline from a given place, then live; ends with the terminal event. A heartbeat at
        least every 15 s.

        Args:
            job_id: Id of the job. Required.
            after: Sequence of the last event received; 0: from the beginning. The Last-Event-ID header
                means the same.
        """
        request = executor_v1.WatchJobRequest(job_id=job_id, after=after)
        return self._caller.stream("/soma.executor.v1.JobService/WatchJob", request, executor_v1.JobEvent)
