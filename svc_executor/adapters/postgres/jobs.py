"""The store of jobs."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg

from mesh.events.audit import canonical
from mesh.events.outbox import Outbox
from mesh.stores.postgres import SYSTEM
from svc_executor.adapters.postgres import rows, sweep_statements
from svc_executor.adapters.postgres.job_transaction import PostgresJobTransaction, insert
from svc_executor.adapters.postgres.queries import (
    calls_of,
    compensations_of,
    events_of,
    events_of_run,
    executions_of,
    job_of,
    plan_of,
    step_summaries_of,
    steps_of,
)
from svc_executor.adapters.postgres.wakeups import Wakeups
from svc_executor.domain.errors import too_many_open
from svc_executor.domain.run import JobRun
from svc_executor.domain.timeline import JobDescription

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from datetime import datetime

    from mesh.events.audit import Auditor
    from mesh.events.event import Event
    from mesh.stores.postgres import Postgres
    from svc_executor.adapters.postgres.wakeups import Notifier
    from svc_executor.app.ports import Submission
    from svc_executor.domain.job import Job, JobState, StepSummary
    from svc_executor.domain.provider_call import ProviderCall
    from svc_executor.domain.timeline import Compensation, Fact, JobEvent


class PostgresJobs:
    """A `JobStore`. `encode` turns facts into events, with the contract's messages as payloads."""

    def __init__(self, postgres: Postgres, encode: Callable[[Fact, Job], Event], auditor: Auditor) -> None:
        self._postgres = postgres
        self._encode = encode
        self._auditor = auditor
        self._outbox = Outbox()
        self._wakeups = Wakeups()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Wake watchers while entered; without it they see new events at their next heartbeat."""
        async with self._postgres.listen(f"{self._postgres.schema}.job_events", self._wakeups.notified):
            yield

    async def submit(self, submission: Submission) -> Job:
        job = submission.job
        try:
            async with self._postgres.transaction(job.tenant_id) as connection:
                full = await connection.fetchval(sweep_statements.HAS_OPEN, job.tenant_id, submission.max_open - 1)
                if full and not await self._is_known(connection, submission):
                    raise too_many_open(submission.max_open)
                plan = {"plan_json": submission.plan}
                request = {"request_id": submission.key.request_id or None, "request_digest": submission.key.digest}
                await insert(connection, "multimodal_job_plans", {**rows.job_row(job), **plan, **request})
                for step in submission.steps:
                    await insert(connection, "job_steps", rows.step_row(step, job.tenant_id))
                await self._begin(connection, submission)
        except asyncpg.UniqueViolationError:
            earlier = await self._made_before(submission)
            if earlier is None:
                raise
            return earlier
        return job

    @staticmethod
    async def _is_known(connection: asyncpg.Connection, submission: Submission) -> bool:
        known = "SELECT true FROM multimodal_job_plans WHERE tenant_id = $1 AND request_id = $2"
        return bool(await connection.fetchval(known, submission.job.tenant_id, submission.key.request_id or None))

    async def _begin(self, connection: asyncpg.Connection, submission: Submission) -> None:
        job = submission.job
        transaction = await self._job_transaction(connection, job.job_id)
        await transaction.append(submission.first_event)
        await self._auditor.record(
            connection,
            action="job.create",
            resource_type="job",
            resource_id=job.job_id,
            before=None,
            after=canonical({**rows.job_row(job), "plan_json": submission.plan}),
            tenant_id=job.tenant_id,
        )

    async def _job_transaction(self, connection: asyncpg.Connection, job_id: str) -> PostgresJobTransaction:
        return await PostgresJobTransaction.begin(connection, job_id, self._outbox, self._encode, self._auditor)

    async def _made_before(self, submission: Submission) -> Job | None:
        async with self._postgres.transaction(submission.job.tenant_id) as connection:
            row = await connection.fetchrow(
                f"""SELECT {rows.JOB_COLUMNS}, request_digest FROM multimodal_job_plans
                    WHERE tenant_id = $1 AND request_id = $2""",  # noqa: S608 - names are ours
                submission.job.tenant_id,
                submission.key.request_id,
            )
        if row is None:
            return None
        submission.key.require_same(row["request_digest"])
        return rows.job_of(row)

    @asynccontextmanager
    async def transaction(self, tenant_id: str, job_id: str) -> AsyncIterator[PostgresJobTransaction]:
        async with self._postgres.transaction(tenant_id) as connection:
            yield await self._job_transaction(connection, job_id)

    async def job(self, tenant_id: str, job_id: str) -> Job:
        async with self._postgres.transaction(tenant_id) as connection:
            return await job_of(connection, job_id)

    async def steps(self, tenant_id: str, job_id: str) -> list[StepSummary]:
        async with self._postgres.transaction(tenant_id) as connection:
            await job_of(connection, job_id)
            return await step_summaries_of(connection, job_id)

    async def describe(self, tenant_id: str, job_id: str) -> JobDescription:
        async with self._postgres.transaction(tenant_id) as connection:
            return JobDescription(
                job=await job_of(connection, job_id, "FOR SHARE"),  # holds off changes, which lock the row first
                plan=await plan_of(connection, job_id),
                steps=await steps_of(connection, job_id),
                executions=await executions_of(connection, job_id),
                events=await events_of(connection, job_id, 0, None),
                compensations=await compensations_of(connection, job_id),
            )

    async def page(self, tenant_id: str, state: JobState | None, before: str, limit: int) -> list[Job]:
        # Two statements, so that each is read from an index that holds nothing else.
        wanted, states = ("", ()) if state is None else ("AND status = $4", (state.value,))
        async with self._postgres.transaction(tenant_id) as connection:
            found = await connection.fetch(
                f"""SELECT {rows.JOB_COLUMNS} FROM multimodal_job_plans WHERE tenant_id = $1 AND id < $2 {wanted}
                    ORDER BY id DESC LIMIT $3""",  # noqa: S608 - names are ours
                tenant_id,
                before or sweep_statements.LAST_ID,
                limit,
                *states,
            )
        return [rows.job_of(row) for row in found]

    async def events(self, tenant_id: str, job_id: str, after: int, limit: int) -> list[JobEvent]:
        async with self._postgres.transaction(tenant_id) as connection:
            await job_of(connection, job_id)
            return await events_of(connection, job_id, after, limit)

    async def events_of_run(self, tenant_id: str, job_id: str) -> list[JobEvent]:
        async with self._postgres.transaction(tenant_id) as connection:
            await job_of(connection, job_id)
            return await events_of_run(connection, job_id)

    @asynccontextmanager
    async def wakeup(self, job_id: str) -> AsyncIterator[Notifier]:
        with self._wakeups.for_job(job_id) as notifier:
            yield notifier

    async def next_to_start(self, tenant_id: str, running: int) -> list[JobRun]:
        async with self._postgres.transaction(tenant_id) as connection:
            found = await connection.fetch(sweep_statements.NEXT_TO_START, tenant_id, running)
        return [JobRun(tenant_id, str(row["id"]), row["run"]) for row in found]

    async def waiting_tenants(self, after: str, before: datetime, limit: int) -> list[str]:
        async with self._postgres.transaction(SYSTEM) as connection:
            found = await connection.fetch(sweep_statements.WAITING_TENANTS, after, before, limit)
        return [row["tenant_id"] for row in found]

    async def calls(self, tenant_id: str, job_id: str) -> list[ProviderCall]:
        async with self._postgres.transaction(tenant_id) as connection:
            await job_of(connection, job_id)
            return await calls_of(connection, job_id)

    async def orphaned_calls(self, before: datetime, limit: int) -> list[ProviderCall]:
        async with self._postgres.transaction(SYSTEM) as connection:
            found = await connection.fetch(sweep_statements.ORPHANED_CALLS, before, limit)
        return [rows.call_of(row) for row in found]

    async def delete_call(self, call: ProviderCall) -> None:
        async with self._postgres.transaction(call.tenant_id) as connection:
            await connection.execute("DELETE FROM provider_calls WHERE execution_id = $1", call.execution_id)

    async def running(self, after: str, limit: int) -> list[JobRun]:
        async with self._postgres.transaction(SYSTEM) as connection:
            found = await connection.fetch(sweep_statements.RUNNING, after or sweep_statements.FIRST_ID, limit)
        return [JobRun(row["tenant_id"], str(row["id"]), row["run"]) for row in found]

    async def claim_compensations(self, before: datetime, now: datetime, limit: int) -> list[Compensation]:
        async with self._postgres.transaction(SYSTEM) as connection:
            found = await connection.fetch(sweep_statements.CLAIM_COMPENSATIONS, before, now, limit)
        return [rows.compensation_of(row) for row in found]

    async def open_compensations(self, limit: int) -> int:
        async with self._postgres.transaction(SYSTEM) as connection:
            return int(await connection.fetchval(sweep_statements.OPEN_COMPENSATIONS, limit))
