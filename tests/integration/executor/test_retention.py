"""Jobs that ended long ago go whole; what runs, and what is young, stays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest

from mesh.ids import derive
from mesh.stores.migrations import common_migrations, migrate, rollback
from mesh.stores.postgres import SYSTEM, Postgres
from mesh.stores.retention import Retention, RetentionPeriods
from mesh.testing import FakeClock
from svc_executor.adapters.postgres.retention import RETENTION_RULES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from soma_local.testing.engines import Databases
    from tests.conftest import Database

NOW = datetime(2026, 7, 10, tzinfo=UTC)
FOLDER = Path(__file__).parents[3] / "svc_executor" / "migrations"
FIRST = "20261123000200_executor.sql"
OLD, YOUNG, FAR = (f"{stamp}-7000-8000-000000000000" for stamp in ("019d4000-0000", "019f4000-0000", "01900000-0000"))
"""Ids of jobs of March and July 2026, and of June 2024."""
CHILDREN = ("multimodal_executions", "job_steps", "job_events", "compensations")

_JOB = """
INSERT INTO multimodal_job_plans (id, tenant_id, session_id, plan_json, status, title, owner, terms, run, message,
    cost_micro_usd, steps_total, steps_ended, trace_id, traceparent, request_digest, created_at, ended_at)
VALUES ($1, 'acme', '', '{}', $2, '', '{}', '{}', 1, '', 0, 1, 1, '', '', '', $3, $4)
"""
_CHILDREN = """
INSERT INTO job_steps VALUES ($1, 0, 'a', 'acme', '{}', 'SUCCEEDED', '{}', '', '', '', 1, 1, NULL, 0);
INSERT INTO job_events VALUES ($1, 1, 'acme', 'JOB', '', 'COMPLETED', 1, '', NULL, '', '{}', 0, true, $2);
INSERT INTO compensations VALUES ($1, 1, 0, 'acme', 'asset', 'x', 'a', 'e', true, '', $2);
INSERT INTO multimodal_executions (id, plan_id, %s step_index, attempt, tenant_id, step_id, step_type, modality,
    tool_id, provider, model, chosen, status, selection_id, reservation_id, reserved_micro_usd, settled, reported,
    idempotency_key, params, prompt, input_asset_ids, asset_ids, text, latency_ms, cost_micro_usd, evaluation_id,
    feedback, fallback_reason, rework_reason, rework_of, error_code, error_message, trace_id, created_at)
VALUES ($3, $1, %s 0, 1, 'acme', 'a', 't', 'text', 't', 'p', '', '{}', 'SUCCEEDED', '', '', 0, true, true, 'k',
    '{}', '', '{}', '{asset}', '', 1, 25, '', '[]', '', '', 0, '', '', '', $2)
"""


async def put(
    connection: asyncpg.Connection, job_id: str, status: str, ended: datetime | None, *, month: bool = True
) -> None:
    """A job with one of everything."""
    at = ended or NOW
    await connection.execute(_JOB, job_id, status, at, ended)
    columns = ("month,", "soma_month_of($1::uuid::text),") if month else ("", "")
    for statement in (_CHILDREN % columns).split(";\n"):
        values = [job_id, at, derive("execution", job_id)]
        places = max(number for number in (1, 2, 3) if f"${number}" in statement)
        await connection.execute(statement, *values[:places])


@pytest.fixture
async def postgres(database: Database) -> AsyncIterator[Postgres]:
    async with Postgres.open(await database("executor")) as opened:
        yield opened


def retention(postgres: Postgres, now: datetime = NOW) -> Retention:
    async def terms() -> Mapping[str, RetentionPeriods]:
        return {"jobs": RetentionPeriods(60)}

    return Retention(postgres, RETENTION_RULES, terms, FakeClock(now))


async def left(postgres: Postgres) -> dict[str, set[str]]:
    async with postgres.transaction(SYSTEM) as connection:
        found = {"jobs": {str(row["id"]) for row in await connection.fetch("SELECT id FROM multimodal_job_plans")}}
        for table in CHILDREN:
            found[table] = {str(row["plan_id"]) for row in await connection.fetch(f"SELECT plan_id FROM {table}")}
    return found


async def test_a_job_that_ended_long_ago_goes_with_all_that_belongs_to_it(postgres: Postgres) -> None:
    async with postgres.transaction("acme") as connection:
        await put(connection, OLD, "FAILED", NOW - timedelta(days=61))
        await put(connection, YOUNG, "COMPLETED", NOW - timedelta(days=59))
    assert await retention(postgres).run() == {"multimodal_job_plans": 1}
    assert set(map(frozenset, (await left(postgres)).values())) == {frozenset({YOUNG})}


async def test_of_jobs_with_many_steps_few_go_at_a_time(postgres: Postgres) -> None:
    async with postgres.transaction("acme") as connection:
        for number in range(6):
            await put(connection, f"{OLD[:-1]}{number}", "COMPLETED", NOW - timedelta(days=61))
        await connection.execute("UPDATE multimodal_job_plans SET steps_total = 4")
        most = (9, 1, 1, 500, 500)
        gone = [await connection.fetchval(RETENTION_RULES[0].chunk, None, [], NOW, steps, False) for steps in most]
    assert gone == [3, 1, 1, 1, 0]


async def test_a_job_that_has_not_ended_stays_however_old_and_so_does_its_part(postgres: Postgres) -> None:
    async with postgres.transaction("acme") as connection:
        await connection.execute("SELECT soma_month_partitions('multimodal_executions', 0, '2026-03-01')")
        await put(connection, OLD, "RUNNING", None)
        await connection.execute("UPDATE multimodal_executions SET created_at = '2026-03-30'")
    assert await retention(postgres).run() == {}
    assert set(map(frozenset, (await left(postgres)).values())) == {frozenset({OLD})}


async def test_parts_that_no_job_is_left_in_are_dropped(postgres: Postgres) -> None:
    async with postgres.transaction("acme") as connection:
        await connection.execute("SELECT soma_month_partitions('multimodal_executions', 0, '2026-03-01')")
        await put(connection, OLD, "COMPLETED", NOW - timedelta(days=61))
    await retention(postgres).run()
    async with postgres.transaction(SYSTEM) as connection:
        assert await connection.fetchval("SELECT to_regclass('multimodal_executions_2026_03')") is None


async def test_attempts_of_the_old_schema_survive_each_in_its_month(databases: Databases, tmp_path: Path) -> None:
    (tmp_path / FIRST).write_text((FOLDER / FIRST).read_text())
    dsn = await databases.plain("executor")
    await migrate(dsn, "executor", [tmp_path])
    # Generated columns too, but none that came later.
    everything = "SELECT to_jsonb(e) - '{month,usage}'::text[] AS row FROM multimodal_executions e ORDER BY id"
    connection = await asyncpg.connect(dsn, server_settings={"search_path": "executor"})
    try:
        await connection.execute("SET soma.tenant_id = '*'")
        for job_id in (OLD, YOUNG, derive("job without a moment")):
            await put(connection, job_id, "COMPLETED", NOW, month=False)
        before = await connection.fetch(everything)
        await migrate(dsn, "executor", [FOLDER])
        assert await connection.fetch(everything) == before
        parts = await connection.fetch("SELECT tableoid::regclass::text AS part FROM multimodal_executions")
        found = {row["part"].removeprefix("multimodal_executions_") for row in parts}
        assert found == {"2026_03", "2026_07", "default"}
        for _ in [
            file for folder in (*common_migrations(), FOLDER) for file in folder.glob("*.sql") if file.name > FIRST
        ]:
            await rollback(dsn, "executor", [FOLDER])
        assert await connection.fetch(everything) == before
    finally:
        await connection.close()
