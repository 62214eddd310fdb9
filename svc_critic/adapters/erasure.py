"""Erased assets in Postgres, and the verdicts that quote them."""

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
# Either an erasure finds the row of a verdict, or whoever records the verdict finds the asset marked.
_LOCK_ASSET = "SELECT pg_advisory_xact_lock(hashtext('soma.critic.erased_assets'), hashtext($1))"
_SHARE_ASSET = "SELECT pg_advisory_xact_lock_shared(hashtext('soma.critic.erased_assets'), hashtext($1))"
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
_NEXT = """
SELECT evaluation_id, document FROM evaluations WHERE tenant_id = $1 AND asset_id = $2 AND evaluation_id > $3
ORDER BY evaluation_id LIMIT $4
"""
_REPLACE = "UPDATE evaluations SET document = $2 WHERE evaluation_id = $1"
_GO_ON = "UPDATE erased_assets SET continue_at = $3, continue_after = $4 WHERE tenant_id = $1 AND asset_id = $2"
_UNFINISHED = """
SELECT count(*) FROM (
    SELECT FROM erased_assets WHERE continue_at IS NOT NULL ORDER BY continue_at LIMIT $1
) AS unfinished
"""


async def is_erased(connection: asyncpg.Connection, asset: ErasedAsset) -> bool:
    """Whether an asset is marked as gone; if it is not, it cannot be until the transaction ends."""
    await connection.execute(_SHARE_ASSET, asset.asset_id)
    return bool(await connection.fetchval(_IS_ERASED, asset.tenant_id, asset.asset_id))


class PostgresErasureMarks:
    """`ErasureMarks` within the transaction of a connection, which is the asset's tenant's."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def mark(self, asset: ErasedAsset, erased_at: datetime, due: datetime) -> None:
        """See the port."""
        await self._connection.execute(_LOCK_ASSET, asset.asset_id)
        await self._connection.execute(_MARK, asset.tenant_id, asset.asset_id, erased_at, due)


class PostgresErasures:
    """`Erasures` in Postgres."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def claim(self, now: datetime, until: datetime) -> ErasedAsset | None:
        """See the port."""
        async with self._postgres.transaction(SYSTEM) as connection:
            row = await connection.fetchrow(_CLAIM, now, until)
        return ErasedAsset(row["tenant_id"], row["asset_id"]) if row else None

    async def erase_next(self, asset: ErasedAsset, limit: int, due: datetime) -> None:
        """See the port."""
        async with self._postgres.transaction(asset.tenant_id) as connection:
            after = await connection.fetchval(_LOCK_MARK, asset.tenant_id, asset.asset_id)
            rows = await connection.fetch(_NEXT, asset.tenant_id, asset.asset_id, after, limit)
            await connection.executemany(_REPLACE, [(row["evaluation_id"], _erased(row["document"])) for row in rows])
            last = rows[-1]["evaluation_id"] if rows else after
            next_due = due if len(rows) == limit else None
            await connection.execute(_GO_ON, asset.tenant_id, asset.asset_id, next_due, last)

    async def unfinished(self, most: int) -> int:
        """See the port."""
        async with self._postgres.transaction(SYSTEM) as connection:
            return int(await connection.fetchval(_UNFINISHED, most))


def _erased(document: object) -> object:
    """The document of a verdict without what it may quote."""
    return _EVALUATION.dump_python(_EVALUATION.validate_python(document).without_quotes(), mode="json")
