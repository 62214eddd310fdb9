"""What `docs/upgrade.md` gives to treat texts from before the release that erases them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg

from mesh.stores.migrations import migrate
from mesh.stores.partitions import month_of
from tests.integration.executor.test_retention import FOLDER, NOW, YOUNG, put

if TYPE_CHECKING:
    from mesh.testing.engines import Databases

PAGE = Path(__file__).parents[3] / "docs/upgrade.md"
ENTER, REMOVE = re.findall(r"```sql\n(SET search_path TO executor.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
MONTH = "2026-11-01"
_TEXTS = """
SELECT text FROM multimodal_executions UNION ALL SELECT text FROM job_steps
UNION ALL SELECT erased::text FROM job_steps
"""


async def test_texts_of_assets_that_were_erased_before_are_removed(databases: Databases) -> None:
    dsn = await databases.empty()
    await migrate(dsn, "executor", [FOLDER])
    connection = await asyncpg.connect(dsn, server_settings={"search_path": "executor"})
    try:
        await connection.execute("SET soma.tenant_id = '*'")
        await put(connection, YOUNG, "COMPLETED", NOW)
        await connection.execute("UPDATE multimodal_executions SET text = 'secret'")
        await connection.execute("UPDATE job_steps SET text = 'secret', asset_ids = '{asset}'")
        await connection.execute("DELETE FROM asset_texts")
        await connection.execute("CREATE SCHEMA assets")
        await connection.execute(
            "CREATE TABLE assets.multimodal_assets AS "
            "SELECT 'acme' AS tenant_id, 'asset' AS asset_id, 'tombstoned' AS status, now() AS deleted_at"
        )
        assert MONTH in ENTER
        await connection.execute(ENTER.replace(MONTH, str(month_of(YOUNG))))
        assert await connection.fetchval("SELECT plan_id::text FROM asset_texts WHERE asset_id = 'asset'") == YOUNG
        await connection.execute(REMOVE)
        assert [row["text"] for row in await connection.fetch(_TEXTS)] == ["", "", "true"]
    finally:
        await connection.close()
