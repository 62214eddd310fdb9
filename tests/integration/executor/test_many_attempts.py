"""What is read for one attempt does not follow from how many attempts the job has had."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from mesh.clock import SystemClock
from mesh.ids import SystemIds
from mesh.stores.postgres import SYSTEM, Postgres
from mesh.testing.audit import auditor
from svc_executor.adapters.postgres import PostgresJobs, rows
from svc_executor.domain.job import ExecutionStatus, JobState
from svc_executor.domain.run import CloseRunInput
from svc_executor.events.published import EventEncoder
from tests.contract.executor.conftest import START
from tests.contract.executor.test_job_store import an_execution
from tests.contract.executor.test_sweeping import a_compensation
from tests.integration.executor.test_plans_of_statements import RecordingPostgres, plan_of
from tests.unit.executor.rig import Rig, task
from tests.unit.executor.test_run_steps import Run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable

    import asyncpg

    from svc_executor.domain.job import Job
    from tests.conftest import Database

OLD = 1_500
"""Old attempts of each of two steps."""
NEW = OLD + 1
COUNTED = ("multimodal_executions", "compensations", "job_events")


@pytest.fixture
async def postgres(database: Database) -> AsyncIterator[RecordingPostgres]:
    async with RecordingPostgres.open(await database("executor")) as opened:
        opened.noted = []
        yield opened


async def old_run(postgres: RecordingPostgres, **fields: object) -> Run:
    """A run of a job whose two steps have had many attempts, and as many compensations."""
    store = PostgresJobs(postgres, EventEncoder(SystemIds(), SystemClock()), auditor("executor"))
    document = {"title": "T", "sections": [{"heading": "H", "body": "${a.text}"}]}
    tasks = (task("a", "generate_text", params={"prompt": "x"}), task("b", "compose_document", params=document))
    run = await Run.of(*tasks, rig=Rig(store=store), **fields)  # type: ignore[arg-type]
    job = await store.job(run.job_run.tenant_id, run.job_run.job_id)
    async with Postgres.transaction(postgres, SYSTEM) as connection:
        await fill(connection, job)
        await connection.execute("ANALYZE")
    return run


async def fill(connection: asyncpg.Connection, job: Job) -> None:
    made = [
        replace(
            an_execution(job, step_id, index, attempt),
            status=ExecutionStatus.FAILED, asset_ids=(), settled=True, reported=True, ended_at=START,
        )
        for index, step_id in enumerate("ab")
        for attempt in range(1, NEW)
    ]  # fmt: skip
    undone = [replace(a_compensation(job, position), run=0, done=True) for position in range(OLD)]
    for table, filled in (
        ("multimodal_executions", [rows.execution_row(each, job.tenant_id) for each in made]),
        ("compensations", [rows.compensation_row(each, job.tenant_id) for each in undone]),
    ):
        places = ", ".join(f"${place}" for place in range(1, len(filled[0]) + 1))
        statement = f"INSERT INTO {table} ({', '.join(filled[0])}) VALUES ({places})"
        await connection.executemany(statement, [list(row.values()) for row in filled])


async def read(postgres: RecordingPostgres, use: Awaitable[object]) -> tuple[int, int]:
    """How many rows of attempts, compensations and events a use case reads, and how many of them it is given.

    Told by running its statements again: what they look for and what it makes itself exists then.
    """
    postgres.noted = []
    await use
    noted = [(query, args) for query, args in postgres.noted if query.lstrip().startswith("SELECT")]
    counted = [each for each in noted if any(table in each[0] for table in COUNTED)]
    plans = [await plan_of(postgres, query, args) for query, args in counted]
    assert plans
    return sum(map(scanned, plans)), sum(plan["Actual Rows"] for plan in plans)


def scanned(node: dict[str, object]) -> int:
    """Rows of the tables that a plan reads, thrown away or not."""
    below = sum(scanned(child) for child in node.get("Plans", ()))  # type: ignore[attr-defined]
    if not str(node.get("Relation Name", "")).startswith(COUNTED):
        return below
    return below + (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]  # type: ignore[operator]


async def test_one_attempt_reads_itself_the_one_it_replaces_and_those_it_uses(postgres: RecordingPostgres) -> None:
    run = await old_run(postgres)
    steps = run.steps
    # Whether it was chosen before, asked before and after the selector.
    assert (await read(postgres, steps.select(run.select("a", NEW))))[0] == 2
    # As it begins, before and after its call, as it is recorded and as it is settled.
    assert (await read(postgres, steps.attempt(run.attempt("a", NEW))))[0] <= 5
    assert (await read(postgres, steps.select(run.select("b", NEW, rework_of=OLD))))[0] == 3
    assert (await read(postgres, steps.attempt(run.attempt("b", NEW))))[0] <= 7
    description = await run.describe()
    assert [step.accepted_attempt for step in description.steps] == [NEW, NEW]
    (call,) = run.rig.calls("composer")
    assert call.feedback == an_execution(description.job).feedback
    assert call.params["provenance"]["a"]["execution_id"] == description.executions[-2].execution_id


async def test_a_choice_for_a_plan_with_a_cap_is_given_one_number(postgres: RecordingPostgres) -> None:
    run = await old_run(postgres, budget={"max_cost_cents": 5})
    scanned_rows, given_rows = await read(postgres, run.steps.select(run.select("a", NEW)))
    assert (scanned_rows, given_rows) == (2 * OLD + 3, 3)


async def test_a_run_opens_with_the_last_attempt_of_each_step(postgres: RecordingPostgres) -> None:
    run = await old_run(postgres)
    opened = run.steps.open_run
    assert await read(postgres, opened(run.job_run)) == (2, 2)
    assert [step.next_attempt for step in (await opened(run.job_run)).steps] == [NEW, NEW]


async def test_a_run_that_ends_is_given_what_it_undoes(postgres: RecordingPostgres) -> None:
    run = await old_run(postgres)
    await run.steps.select(run.select("a", NEW))
    await run.steps.attempt(run.attempt("a", NEW))
    request = CloseRunInput(run.job_run, JobState.FAILED.value, "no")
    _, given_rows = await read(postgres, run.steps.close_run(request))
    # The asset that attempts recorded and the attempt of it; its compensation, each time that it is looked for.
    assert given_rows <= 4
    (undone,) = [each for each in (await run.describe()).compensations if each.run == 1]
    assert (undone.done, run.rig.assets.stored) == (True, {})
