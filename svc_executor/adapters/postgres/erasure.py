"""The texts of jobs in Postgres, to be erased."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from mesh.stores.partitions import month_of
from svc_executor.adapters.postgres.work import steps_of
from svc_executor.domain.erasure import ErasedTexts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import asyncpg

    from svc_executor.domain.erasure import ErasedAsset
    from svc_executor.domain.provider import JsonValue
    from svc_executor.domain.task_dsl import Task

_KEEPING = "SELECT plan_id::text AS id FROM asset_texts WHERE tenant_id = $1 AND asset_id = $2"
# In one order for all, so that two erasures do not wait for each other.
_LOCK_JOBS = "SELECT id::text AS id FROM multimodal_job_plans WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE"
# The triggers of texts share this lock (20261129185000_asset_texts.sql).
_LOCK_ASSET = "SELECT pg_advisory_xact_lock(hashtext('soma.erased_assets'), hashtext($1))"
_MARK = "INSERT INTO erased_assets (tenant_id, asset_id, erased_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING"
_ERASE_ATTEMPTS = """
UPDATE multimodal_executions SET text = '' WHERE plan_id = $1 AND month = $2 AND $3 = ANY(asset_ids) RETURNING step_id
"""
_ERASE_STEPS = """
UPDATE job_steps SET text = '', erased = true WHERE plan_id = $1 AND $2 = ANY(asset_ids) RETURNING step_id
"""
_REPLACE_INPUTS = """
UPDATE multimodal_executions SET params = $4, prompt = $5
WHERE plan_id = $1 AND month = $2 AND step_id = $3 AND started_at IS NOT NULL AND (status <> 'RUNNING' OR NOT $6)
"""


class PostgresTexts:
    """`Texts` within the transaction of a connection, which is the asset's tenant's."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def jobs_with(self, asset: ErasedAsset) -> Sequence[str]:
        """See the port. The first job is known without a row, too: attempts of older releases have none."""
        known = await self._keeping(asset) | ({asset.job_id} if _is_uuid(asset.job_id) else set())
        locked = await self._lock(known)
        await self._connection.execute(_LOCK_ASSET, asset.asset_id)
        await self._connection.execute(_MARK, asset.tenant_id, asset.asset_id, asset.erased_at)
        # Jobs are locked before the asset, as by those who record attempts; but for any that came in between.
        return [*locked, *await self._lock(await self._keeping(asset) - known)]

    async def _keeping(self, asset: ErasedAsset) -> set[str]:
        return {row["id"] for row in await self._connection.fetch(_KEEPING, asset.tenant_id, asset.asset_id)}

    async def _lock(self, job_ids: set[str]) -> list[str]:
        return [row["id"] for row in await self._connection.fetch(_LOCK_JOBS, list(job_ids))] if job_ids else []

    async def erase(self, job_id: str, asset_id: str) -> ErasedTexts:
        """See the port."""
        attempts = await self._connection.fetch(_ERASE_ATTEMPTS, job_id, month_of(job_id), asset_id)
        results = await self._connection.fetch(_ERASE_STEPS, job_id, asset_id)
        return ErasedTexts(frozenset(row["step_id"] for row in results), frozenset(row["step_id"] for row in attempts))

    async def tasks(self, job_id: str) -> Sequence[Task]:
        """See the port."""
        return [step.task for step in await steps_of(self._connection, job_id)]

    async def replace_inputs(
        self, job_id: str, step_id: str, params: Mapping[str, JsonValue], prompt: str, *, ended_only: bool
    ) -> None:
        """See the port."""
        await self._connection.execute(
            _REPLACE_INPUTS, job_id, month_of(job_id), step_id, dict(params), prompt, ended_only
        )


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
