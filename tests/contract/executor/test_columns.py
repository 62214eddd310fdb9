"""What is large in a job is read only where it is needed: plans, and the params and texts of attempts."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from mesh.clock import SystemClock
from mesh.ids import SystemIds
from mesh.stores.postgres import SYSTEM, Postgres
from mesh.testing.audit import auditor
from svc_executor.adapters.postgres import PostgresJobs, rows
from svc_executor.app.read import ListJobs
from svc_executor.app.recorder import Recorder
from svc_executor.app.watch import WatchJob
from svc_executor.domain.timeline import EventType
from svc_executor.events.published import EventEncoder
from tests.contract.executor.test_job_store import an_execution, without_content

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import asyncpg

    from svc_executor.app.ports import JobStore
    from svc_executor.domain.job import Job
    from tests.conftest import Database
    from tests.contract.executor.conftest import Submit


class RecordingPostgres(Postgres):
    """Notes every statement."""

    noted: list[str]

    @asynccontextmanager
    async def transaction(self, tenant_id: str | None = None) -> AsyncIterator[asyncpg.Connection]:
        async with super().transaction(tenant_id) as connection:
            with connection.query_logger(lambda query: self.noted.append(query.query)):
                yield connection

    async def columns(self) -> set[str]:
        """Names of the columns that were read since this was asked last."""
        noted, self.noted = self.noted, []
        async with super().transaction(SYSTEM) as connection:
            statements = [await connection.prepare(each) for each in noted if each.lstrip().startswith("SELECT")]
            return {column.name for statement in statements for column in statement.get_attributes()}


@pytest.fixture
async def postgres(database: Database) -> AsyncIterator[RecordingPostgres]:
    async with RecordingPostgres.open(await database("executor")) as opened:
        opened.noted = []
        yield opened


@pytest.fixture
def jobs(postgres: RecordingPostgres) -> PostgresJobs:
    return PostgresJobs(postgres, EventEncoder(SystemIds(), SystemClock()), auditor("executor"))


@pytest.fixture
async def job(jobs: PostgresJobs, postgres: RecordingPostgres, submission: Submit) -> Job:
    """A job with an attempt."""
    job = await jobs.submit(submission(request_id="r"))
    async with jobs.transaction("tenant-a", job.job_id) as transaction:
        await transaction.save_execution(an_execution(job))
    await postgres.columns()
    return job


async def test_a_list_reads_no_plans(jobs: PostgresJobs, postgres: RecordingPostgres, job: Job) -> None:
    page = await ListJobs(jobs)("tenant-a", None, 50, "")
    assert [each.job_id for each in page.jobs] == [job.job_id]
    read = await postgres.columns()
    assert "title" in read
    assert "plan_json" not in read


async def test_watching_a_job_reads_no_plan(jobs: PostgresJobs, postgres: RecordingPostgres, job: Job) -> None:
    watch = WatchJob(jobs, Recorder(SystemClock()))
    assert (await anext(watch("tenant-a", job.job_id, 0))).sequence == 1
    assert (await watch.heartbeat("tenant-a", job.job_id)).type is EventType.HEARTBEAT
    read = await postgres.columns()
    assert "status" in read
    assert "plan_json" not in read


async def test_a_repeated_submission_reads_no_plan(
    jobs: PostgresJobs, postgres: RecordingPostgres, job: Job, submission: Submit
) -> None:
    assert (await jobs.submit(submission(request_id="r"))).job_id == job.job_id
    read = await postgres.columns()
    assert "request_digest" in read
    assert "plan_json" not in read


async def test_a_transaction_reads_no_plan_and_of_several_attempts_neither_params_nor_texts(
    jobs: PostgresJobs, postgres: RecordingPostgres, job: Job
) -> None:
    async with jobs.transaction("tenant-a", job.job_id) as transaction:
        assert await transaction.executions([("b", 1)]) == [without_content(an_execution(job))]
        assert await transaction.last_executions() == [without_content(an_execution(job))]
        assert await transaction.executions_to_compensate([]) == [without_content(an_execution(job))]
    read = await postgres.columns()
    assert {"terms", "reserved_micro_usd"} <= read
    assert not {"plan_json", "params", "text"} & read


async def test_what_is_told_of_everything_recorded_has_the_plan_and_whole_attempts(
    jobs: PostgresJobs, postgres: RecordingPostgres, job: Job
) -> None:
    description = await jobs.describe("tenant-a", job.job_id)
    assert (description.plan, description.executions) == ({"version": "1.0"}, [an_execution(job)])
    assert {"plan_json", "params", "text"} <= await postgres.columns()


async def test_the_steps_of_a_job_are_shown_and_told_without_their_params(
    jobs: PostgresJobs, postgres: RecordingPostgres, job: Job
) -> None:
    shown = await jobs.steps("tenant-a", job.job_id)
    async with jobs.transaction("tenant-a", job.job_id) as transaction:
        await Recorder(SystemClock()).record_job_changed(transaction, job, "the job runs")
    read = await postgres.columns()
    assert [step.task.depends_on for step in shown] == [(), ("a",)]
    assert {"task_summary", "text_shown"} <= read
    assert not {"task", "text"} & read


async def test_of_a_text_the_beginning_is_shown(store: JobStore, submission: Submit) -> None:
    job = await store.submit(submission())
    async with store.transaction("tenant-a", job.job_id) as transaction:
        await transaction.save_step(replace(await transaction.step("a"), text="é" * 4_001))
        assert (await transaction.step_summaries())[0].text == "é" * 4_000
        assert (await transaction.step("a")).text == "é" * 4_001


async def test_a_step_is_read_with_those_it_depends_on(store: JobStore, submission: Submit) -> None:
    given = submission()
    job = await store.submit(given)
    async with store.transaction("tenant-a", job.job_id) as transaction:
        assert await transaction.step_with_inputs("a") == {"a": given.steps[0]}
        assert await transaction.step_with_inputs("b") == {"a": given.steps[0], "b": given.steps[1]}
        with pytest.raises(KeyError):
            await transaction.step_with_inputs("c")
        await transaction.save_execution(an_execution(job))
        await transaction.save_execution(replace(an_execution(job, attempt=2), reported=True))
        assert await transaction.unreported() == [an_execution(job)]


async def test_a_task_keeps_the_name_that_earlier_versions_read_its_evaluation_by(submission: Submit) -> None:
    step = submission().steps[0]
    row = rows.step_row(replace(step, task=replace(step.task, requires_evaluation=True)), "tenant-a")
    assert row["task"]["gate"] is True
    assert "requires_evaluation" not in row["task"]
    assert rows.task_of(row["task"]).requires_evaluation
