"""No statement of the store costs more because its tables have grown: none reads a table from end to end."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from mesh.clock import SystemClock
from mesh.idempotency import RequestKey
from mesh.ids import SystemIds
from mesh.stores.postgres import SYSTEM, Postgres
from mesh.testing.audit import auditor
from svc_executor.adapters.postgres import PostgresJobs
from svc_executor.adapters.postgres.erasure import PostgresAssetTexts, PostgresErasures
from svc_executor.adapters.postgres.retention import RETENTION_RULES
from svc_executor.app.erasure import erase_from_jobs
from svc_executor.domain.erasure import ErasedAsset
from svc_executor.domain.job import JobState
from svc_executor.events.published import EventEncoder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    import asyncpg

    from tests.conftest import Database

ROWS = 200_000
OLD = datetime(2026, 1, 1, tzinfo=UTC)
JOB = "019d4000-0000-7000-8000-000000000007"
MOST_DROPPED = 1_000
DRIVERS_OWN = "typeinfo_tree"
"""How the driver learns of a type."""
SMALL = {"partitioned_tables", "retention_runs"}

_FILL = f"""
INSERT INTO multimodal_job_plans (id, tenant_id, session_id, plan_json, status, title, owner, terms, run, message,
    cost_micro_usd, steps_total, steps_ended, trace_id, traceparent, request_digest, created_at, ended_at)
SELECT ('019d4000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, CASE WHEN n % 3 = 0 THEN 'other' ELSE 'acme' END,
    '', '{{}}', CASE WHEN n % 1000 = 0 THEN 'RUNNING' WHEN n % 997 = 0 THEN 'PENDING' ELSE 'COMPLETED' END, '',
    '{{"tenant_id": "acme", "subject": "s", "roles": [], "scopes": [], "key_id": ""}}', '{{}}', 1, '', 0, 1,
    1, '', '', '', now(), CASE WHEN n % 1000 = 0 OR n % 997 = 0 THEN NULL ELSE now() END
FROM generate_series(1, {ROWS}) AS n;
INSERT INTO job_steps SELECT id, 0, 'a', tenant_id, '{{"task_id": "a", "index": 0, "step_type": "generate_text",
    "modality": "text", "task_type": "t", "depends_on": [], "on_failure": "FAIL_JOB"}}', 'SUCCEEDED', '{{}}', '', '',
    '', 1, 1, NULL, 0 FROM multimodal_job_plans;
INSERT INTO job_events SELECT id, 1, tenant_id, 'JOB', '', 'COMPLETED', 1, '', NULL, '', '{{}}', 0, true, now()
FROM multimodal_job_plans;
INSERT INTO compensations SELECT id, 1, 0, tenant_id, 'asset', 'x', 'a', 'e', true, '', now() FROM multimodal_job_plans;
INSERT INTO provider_calls SELECT id, id, tenant_id, 'k', now(), now() FROM multimodal_job_plans;
INSERT INTO job_requests SELECT tenant_id, id::text, 'd', id FROM multimodal_job_plans;
INSERT INTO asset_texts SELECT tenant_id, id::text, id FROM multimodal_job_plans;
INSERT INTO erased_assets SELECT tenant_id, id::text, now(), CASE WHEN status = 'RUNNING' THEN now() END
FROM multimodal_job_plans;
INSERT INTO multimodal_executions (id, plan_id, month, step_index, attempt, tenant_id, step_id, step_type, modality,
    tool_id, provider, model, chosen, status, selection_id, reservation_id, reserved_micro_usd, settled, reported,
    idempotency_key, params, prompt, input_asset_ids, asset_ids, text, latency_ms, cost_micro_usd, evaluation_id,
    feedback, fallback_reason, rework_reason, rework_of, error_code, error_message, trace_id)
SELECT id, id, soma_month_of(id::text), 0, 1, tenant_id, 'a', 't', 'text', 't', 'p', '',
    '{{"capability_id": "c", "tool_id": "t", "provider": "p", "adapter": "a"}}', 'SUCCEEDED', '', '', 0, true, true,
    'k', '{{}}', '', '{{}}', '{{}}', '', 0, 0, '', '[]', '', '', 0, '', '', '' FROM multimodal_job_plans;
"""


class RecordingPostgres(Postgres):
    """Notes every statement with its arguments."""

    noted: list[tuple[str, tuple[object, ...]]]

    @asynccontextmanager
    async def transaction(self, tenant_id: str | None = None) -> AsyncIterator[asyncpg.Connection]:
        async with super().transaction(tenant_id) as connection:
            with connection.query_logger(lambda query: self.noted.append((query.query, query.args or ()))):
                yield connection


@pytest.fixture
async def postgres(database: Database) -> AsyncIterator[RecordingPostgres]:
    async with RecordingPostgres.open(await database("executor")) as opened:
        opened.noted = []
        async with Postgres.transaction(opened, SYSTEM) as connection:
            for statement in _FILL.split(";\n"):
                if statement.strip():
                    await connection.execute(statement, timeout=120)
            await connection.execute("ANALYZE", timeout=120)
        yield opened


class UndoError(Exception):
    """Nothing of what was explained stays."""


def literal(value: object) -> str:
    """A value as SQL."""
    if value is None:
        return "NULL"
    if isinstance(value, bool | int):
        return str(value)
    return f"'{{{','.join(map(str, value))}}}'" if isinstance(value, list) else f"'{value}'"


async def plan_of(postgres: Postgres, query: str, args: tuple[object, ...]) -> dict[str, object]:
    """The plan of a statement and what its parts read."""
    plan: dict[str, object] = {}
    with suppress(UndoError):
        async with Postgres.transaction(postgres, SYSTEM) as connection:
            # The plan that a connection settles on, which does not know the values.
            await connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
            await connection.execute(f"PREPARE explained AS {query}")
            execute = f"EXECUTE explained({', '.join(map(literal, args))})" if args else "EXECUTE explained"
            (plan,) = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {execute}")
            await connection.execute("DEALLOCATE explained")
            raise UndoError
    return plan["Plan"]  # type: ignore[return-value]


async def scans(postgres: Postgres, query: str, args: tuple[object, ...]) -> set[str]:
    """Tables that a statement reads from end to end, or of which it throws many rows away."""
    found, todo = set(), [await plan_of(postgres, query, args)]
    while todo:
        node = todo.pop()
        todo += node.get("Plans", [])
        dropped = node.get("Rows Removed by Filter", 0) * node["Actual Loops"]
        if node["Node Type"] == "Seq Scan" or dropped > MOST_DROPPED:
            found.add(node.get("Relation Name", node["Node Type"]))
    return found - SMALL


async def test_no_statement_reads_a_large_table_from_end_to_end(postgres: RecordingPostgres) -> None:
    store = PostgresJobs(postgres, EventEncoder(SystemIds(), SystemClock()), auditor("executor"))
    later = SystemClock().now() + timedelta(hours=1)
    erasures, asset = PostgresErasures(postgres), ErasedAsset("acme", JOB, JOB, later)
    uses: list[Callable[[], Awaitable[object]]] = [
        lambda: store.job("acme", JOB),
        lambda: store.steps("acme", JOB),
        lambda: store.describe("acme", JOB),
        lambda: store.page("acme", None, "", 51),
        lambda: store.page("acme", JobState.FAILED, "", 51),
        lambda: store.page("acme", JobState.RUNNING, JOB, 51),
        lambda: store.events("acme", JOB, 0, 200),
        lambda: store.events_of_run("acme", JOB),
        lambda: store.next_to_start("acme", 16),
        lambda: store.waiting_tenants("", later, 100),
        lambda: store.running("", 100),
        lambda: store.orphaned_calls(later, 100),
        lambda: store.claim_compensations(later, later, 50),
        lambda: store.open_compensations(100),
        lambda: erasures.claim(later, later),
        lambda: erasures.unfinished(100),
        lambda: erasures.postpone(asset, later),
    ]
    for use in uses:
        await use()
    async with store.transaction("acme", JOB) as transaction:
        await transaction.executions([("a", 1)])
        await transaction.last_executions()
        await transaction.executions_to_compensate(["x"])
        await transaction.committed_micro_usd()
        await transaction.recorded_assets()
        await transaction.unreported()
        await transaction.execution("a", 1)
        await transaction.execution_by_id(JOB)
        await transaction.compensation(1, 0)
        await transaction.compensations(1)
        await transaction.unfinished_compensations()
        await transaction.step_summaries()
        await transaction.step_with_inputs("a")
        await transaction.calls()
        await transaction.record_request(RequestKey.for_request("r"))
    async with postgres.transaction("acme") as connection:
        texts = PostgresAssetTexts(connection)
        await texts.mark(asset, later)
        jobs = await texts.next_jobs(asset, "", 20)
        await texts.tasks(JOB, ["a"])
        await texts.replace_inputs(JOB, "a", {}, "", ended_only=False)
        await erase_from_jobs(texts, asset, jobs, later)
    for rule in RETENTION_RULES:
        if rule.chunk:
            postgres.noted.append((rule.chunk, (None, [], OLD, 500, False)))
    noted = [(query, args) for query, args in postgres.noted if DRIVERS_OWN not in query]
    assert len(noted) > len(uses)
    found = {query: tables for query, args in noted if (tables := await scans(postgres, query, args))}
    assert found == {}
