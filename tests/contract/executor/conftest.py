"""Both stores of jobs, and a job to put into them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from mesh.clock import SystemClock
from mesh.idempotency import NO_KEY, RequestKey
from mesh.ids import SystemIds
from mesh.stores.postgres import Postgres
from mesh.testing.audit import auditor
from svc_executor.adapters.postgres import PostgresJobs
from svc_executor.app.ports import JobStore, Submission
from svc_executor.domain.job import CallerIdentity, Job, JobOptions, JobState, Step
from svc_executor.domain.task_dsl import StepType, Task
from svc_executor.domain.timeline import EventType, JobEvent
from svc_executor.events.published import EventEncoder
from tests.in_memory.executor.jobs import MemoryJobs

if TYPE_CHECKING:
    from tests.conftest import Database

Submit = Callable[..., Submission]
START = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture(params=["memory", "postgres"])
async def store(request: pytest.FixtureRequest, database: Database) -> AsyncIterator[JobStore]:
    if request.param == "memory":
        yield MemoryJobs()
        return
    async with Postgres.open(await database("executor")) as postgres:
        jobs = PostgresJobs(postgres, EventEncoder(SystemIds(), SystemClock()), auditor("executor"))
        async with jobs.listening():
            yield jobs


@pytest.fixture
def submission() -> Submit:
    """Makes submissions of jobs with two steps; keywords change the job."""
    ids = SystemIds()
    made = iter(range(1_000))

    def make(tenant: str = "tenant-a", request_id: str = "", body: bytes = b"one", **fields: object) -> Submission:
        job = Job(
            job_id=ids.new(),
            owner=CallerIdentity(tenant, "user-1", ("member",), ("jobs",), "key-1"),
            options=JobOptions(max_cost_micro_usd=7, keep_on_failure=True, max_cost_tier="low"),
            created_at=START + timedelta(seconds=next(made)),
            steps_total=2,
            **fields,  # type: ignore[arg-type]
        )
        tasks = [
            Task("a", 0, StepType.GENERATE_TEXT, "text", "text_chat", params={"prompt": "x"}),
            Task("b", 1, StepType.GENERATE_DIAGRAM, "diagram", "image_diagram", ("a",), rubric={"criteria": []}),
        ]
        event = JobEvent(0, EventType.JOB, job.job_id, "accepted", JobState.PENDING, 0.0, job.created_at)
        key = RequestKey.for_request(request_id, body) if request_id else NO_KEY
        return Submission(job, {"version": "1.0"}, [Step(job.job_id, task) for task in tasks], event, key)

    return make
