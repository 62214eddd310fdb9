"""Erased assets in Postgres, and the removal of quotes of them from evaluations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from mesh.stores.postgres import SYSTEM
from svc_critic.domain.erasure import ErasedAsset
from svc_critic.domain.evaluation import Evaluation

if TYPE_CHECKING:
    from datetime import datetime

    import asyncpg

    from mesh.stores.postgres import Postgres

_EVALUATION: TypeAdapter[Evaluation] = TypeAdapter(Evaluation)
# With these locks an erasure sees the row of an evaluation, or the transaction that inserts the row sees the mark.
_LOCK_ASSET = "SELECT pg_advisory_xact_lock(hashtext('soma.critic.erased_assets'), hashtext($1))"
_LOCK_ASSET_SHARED = "SELECT pg_advisory_xact_lock_shared(hashtext('soma.critic.erased_assets'), hashtext($1))"
_IS_ERASED = "SELECT EXISTS (SELECT FROM erased_assets WHERE tenant_id = $1 AND asset_id = $2)"
_MARK = """
INSERT INTO erased_assets (tenant_id, asset_id, erased_at, continue_at) VALUES ($1, $2, $3, CASE
    WHEN EXISTS (SELECT FROM evaluations WHERE tenant_id = $1 AND asset_id = $2) THEN $4::timestamptz END)
ON CONFLICT (tenant_id, asset_id) DO UPDATE
SET continue_at = excluded.continue_at, continue_after = excluded.continue_after
"""
_CLAIM = """
WITH due AS (
    SELECT tenant_id, asset_id FROM erased_assets WHERE continue_at <= $1
    ORDER BY continue_at LIMIT 1 FOR UPDATE SKIP LOCKED
)
UPDATE erased_assets AS e SET continue_at = $2 FROM due
WHERE e.tenant_id = due.tenant_id AND e.asset_id = due.asset_id
RETURNING e.tenant_id, e.asset_id
"""
_LOCK_MARK = "SELECT continue_after FROM erased_assets WHERE tenant_id = $1 AND asset_id = $2 FOR UPDATE"
_NEXT_EVALUATIONS = """
SELECT evaluation_id, document FROM evaluations WHERE tenant_id = $1 AND asset_id = $2 AND evaluation_id > $3
ORDER BY evaluation_id LIMIT $4
"""
_UPDATE_DOCUMENT = "UPDATE evaluations SET document = $2 WHERE evaluation_id = $1"
_SAVE_PROGRESS = "UPDATE erased_assets SET continue_at = $3, continue_after = $4 WHERE tenant_id = $1 AND asset_id = $2"
_COUNT_UNFINISHED = """
SELECT count(*) FROM (
    SELECT FROM erased_assets WHERE continue_at IS NOT NULL ORDER BY continue_at LIMIT $1
) AS unfinished
"""


async def is_erased(connection: asyncpg.Connection, asset: ErasedAsset) -> bool:
    """Whether an asset is marked as erased. If not, it cannot be marked until the transaction ends."""
    await connection.execute(_LOCK_ASSET_SHARED, asset.asset_id)
    return bool(await connection.fetchval(_IS_ERASED, asset.tenant_id, asset.asset_id))


class PostgresErasureMarks:
    """`ErasureMarks` within the transaction of a connection, which has the tenant of the asset."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def mark(self, asset: ErasedAsset, erased_at: datetime, due_at: datetime) -> None:
        await self._connection.execute(_LOCK_ASSET, asset.asset_id)
        await self._connection.execute(_MARK, asset.tenant_id, asset.asset_id, erased_at, due_at)


class PostgresPendingErasures:
    """`PendingErasures` in Postgres."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def claim(self, now: datetime, next_claim_at: datetime) -> ErasedAsset | None:
        async with self._postgres.transaction(SYSTEM) as connection:
            row = await connection.fetchrow(_CLAIM, now, next_claim_at)
        return ErasedAsset(row["tenant_id"], row["asset_id"]) if row else None

    async def erase_next(self, asset: ErasedAsset, limit: int, due_at: datetime) -> None:
        async with self._postgres.transaction(asset.tenant_id) as connection:
            after = await connection.fetchval(_LOCK_MARK, asset.tenant_id, asset.asset_id)
            rows = await connection.fetch(_NEXT_EVALUATIONS, asset.tenant_id, asset.asset_id, after, limit)
            await connection.executemany(
                _UPDATE_DOCUMENT, [(row["evaluation_id"], _without_quotes(row["document"])) for row in rows]
            )
            last = rows[-1]["evaluation_id"] if rows else after
            next_due_at = due_at if len(rows) == limit else None
            await connection.execute(_SAVE_PROGRESS, asset.tenant_id, asset.asset_id, next_due_at, last)

    async def count_unfinished(self, limit: int) -> int:
        async with self._postgres.transaction(SYSTEM) as connection:
            return int(await connection.fetchval(_COUNT_UNFINISHED, limit))


def _without_quotes(document: object) -> object:
    """Returns the document of an evaluation without what may quote the asset."""
    return _EVALUATION.dump_python(_EVALUATION.validate_python(document).without_quotes(), mode="json")
