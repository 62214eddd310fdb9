"""The texts of jobs in Postgres, to be erased."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from uuid import UUID

from mesh.stores.partitions import month_of
from mesh.stores.postgres import SYSTEM
from svc_executor.adapters.postgres import rows, sweep_statements
from svc_executor.adapters.postgres.wakeups import Notifier
from svc_executor.domain.erasure import ErasedAsset, ErasedTexts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping, Sequence
    from datetime import datetime

    import asyncpg

    from mesh.stores.postgres import Postgres
    from soma_providers.port import JsonValue
    from svc_executor.domain.task_dsl import Task

# Attempts of older releases have no row; the job that stored the asset may have one.
_ENTER_JOB = """
INSERT INTO asset_texts (tenant_id, asset_id, plan_id)
SELECT tenant_id, $2::text, id FROM multimodal_job_plans WHERE id = $3 AND tenant_id = $1 FOR KEY SHARE
ON CONFLICT DO NOTHING
"""
_NEXT = """
SELECT plan_id::text AS id FROM asset_texts WHERE tenant_id = $1 AND asset_id = $2 AND plan_id > $3
ORDER BY plan_id LIMIT $4
"""
# In one order for all, so that two erasures do not wait for each other. The lock lets `_ENTER_JOB` pass: no event waits
# for an erasure.
_LOCK_JOBS = "SELECT id FROM multimodal_job_plans WHERE id = ANY($1::uuid[]) ORDER BY id FOR NO KEY UPDATE"
# The triggers of texts share this lock (20261129185000_asset_texts.sql).
_LOCK_ASSET = "SELECT pg_advisory_xact_lock(hashtext('soma.erased_assets'), hashtext($1))"
_MARK = """
WITH marked AS (
    INSERT INTO erased_assets (tenant_id, asset_id, erased_at, continue_at) VALUES ($1, $2, $3, CASE
        WHEN EXISTS (SELECT FROM asset_texts WHERE tenant_id = $1 AND asset_id = $2) THEN $4::timestamptz END)
    ON CONFLICT (tenant_id, asset_id) DO UPDATE SET continue_at = excluded.continue_at
    RETURNING continue_at
)
SELECT pg_notify(current_schema() || '.erased_assets', '') FROM marked WHERE continue_at IS NOT NULL
"""
_FORGET = "DELETE FROM asset_texts WHERE tenant_id = $1 AND asset_id = $2 AND plan_id = ANY($3::uuid[])"
_SET_DUE = """
UPDATE erased_assets SET continue_at = CASE
    WHEN EXISTS (SELECT FROM asset_texts WHERE tenant_id = $1 AND asset_id = $2) THEN $3::timestamptz END
WHERE tenant_id = $1 AND asset_id = $2
"""
_CLAIM = """
WITH due AS (
    SELECT tenant_id, asset_id FROM erased_assets WHERE continue_at <= $1
    ORDER BY continue_at LIMIT 1 FOR UPDATE SKIP LOCKED
)
UPDATE erased_assets AS e SET continue_at = $2 FROM due
WHERE e.tenant_id = due.tenant_id AND e.asset_id = due.asset_id
RETURNING e.tenant_id, e.asset_id, e.erased_at
"""
_UNFINISHED = """
SELECT count(*) FROM (
    SELECT FROM erased_assets WHERE continue_at IS NOT NULL ORDER BY continue_at LIMIT $1
) AS unfinished
"""
# What the critic found may quote the asset.
_ERASE_ATTEMPTS = """
UPDATE multimodal_executions SET text = '', feedback = (
    SELECT coalesce(jsonb_agg(point || '{"message": "", "hint": {}}'), '[]')
    FROM jsonb_array_elements(feedback) AS point)
WHERE plan_id = $1 AND month = $2 AND $3 = ANY(asset_ids) RETURNING step_id
"""
_ERASE_STEPS = """
UPDATE job_steps SET text = '', erased = true WHERE plan_id = $1 AND $2 = ANY(asset_ids) RETURNING step_id
"""
_TASKS = "SELECT task FROM job_steps WHERE plan_id = $1 AND task->'depends_on' ?| $2 ORDER BY step_index"
# An attempt that runs counts as not started, so that whoever takes it up resolves its references anew.
_REPLACE_INPUTS = """
UPDATE multimodal_executions
SET params = $4, prompt = $5, started_at = CASE WHEN status <> 'RUNNING' THEN started_at END
WHERE plan_id = $1 AND month = $2 AND step_id = $3 AND started_at IS NOT NULL AND (status <> 'RUNNING' OR NOT $6)
"""


class PostgresAssetTexts:
    """`AssetTexts` within the transaction of a connection, which is the asset's tenant's."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def mark(self, asset: ErasedAsset, now: datetime) -> None:
        # Jobs are locked before the asset, as by those who record attempts. What they recorded before is found; what
        # they record after it finds the asset marked.
        if _is_uuid(asset.job_id):
            await self._connection.execute(_ENTER_JOB, asset.tenant_id, asset.asset_id, asset.job_id)
        await self._connection.execute(_LOCK_ASSET, asset.asset_id)
        await self._connection.execute(_MARK, asset.tenant_id, asset.asset_id, asset.erased_at, now)

    async def next_jobs(self, asset: ErasedAsset, after: str, limit: int) -> Sequence[str]:
        first = after or sweep_statements.FIRST_ID
        found = await self._connection.fetch(_NEXT, asset.tenant_id, asset.asset_id, first, limit)
        return [row["id"] for row in found]

    async def lock_jobs(self, job_ids: Sequence[str]) -> None:
        await self._connection.execute(_LOCK_JOBS, list(job_ids))

    async def erase(self, job_id: str, asset_id: str) -> ErasedTexts:
        attempts = await self._connection.fetch(_ERASE_ATTEMPTS, job_id, month_of(job_id), asset_id)
        results = await self._connection.fetch(_ERASE_STEPS, job_id, asset_id)
        return ErasedTexts(frozenset(row["step_id"] for row in results), frozenset(row["step_id"] for row in attempts))

    async def tasks(self, job_id: str, step_ids: Collection[str]) -> Sequence[Task]:
        found = await self._connection.fetch(_TASKS, job_id, list(step_ids))
        return [rows.task_of(row["task"]) for row in found]

    async def replace_inputs(
        self, job_id: str, step_id: str, params: Mapping[str, JsonValue], prompt: str, *, ended_only: bool
    ) -> None:
        await self._connection.execute(
            _REPLACE_INPUTS, job_id, month_of(job_id), step_id, dict(params), prompt, ended_only
        )

    async def forget_jobs(self, asset: ErasedAsset, job_ids: Sequence[str], due: datetime) -> None:
        await self._connection.execute(_FORGET, asset.tenant_id, asset.asset_id, list(job_ids))
        await self._connection.execute(_LOCK_ASSET, asset.asset_id)
        await self._connection.execute(_SET_DUE, asset.tenant_id, asset.asset_id, due)


class PostgresErasures:
    """`Erasures` in Postgres."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._notifier = Notifier()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """End waits for marked assets while entered; without it they last for their time."""
        channel = f"{self._postgres.schema}.erased_assets"
        async with self._postgres.listen(channel, lambda _: self._notifier.notify()):
            yield

    async def wait(self, seconds: float) -> bool:
        return await self._notifier.wait(seconds)

    async def claim(self, now: datetime, until: datetime) -> ErasedAsset | None:
        async with self._postgres.transaction(SYSTEM) as connection:
            row = await connection.fetchrow(_CLAIM, now, until)
        return ErasedAsset(row["tenant_id"], row["asset_id"], "", row["erased_at"]) if row else None

    async def postpone(self, asset: ErasedAsset, due: datetime) -> None:
        async with self._postgres.transaction(asset.tenant_id) as connection:
            await connection.execute(_SET_DUE, asset.tenant_id, asset.asset_id, due)

    async def unfinished(self, limit: int) -> int:
        async with self._postgres.transaction(SYSTEM) as connection:
            return int(await connection.fetchval(_UNFINISHED, limit))

    @asynccontextmanager
    async def texts(self, tenant_id: str) -> AsyncIterator[PostgresAssetTexts]:
        async with self._postgres.transaction(tenant_id) as connection:
            yield PostgresAssetTexts(connection)


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
