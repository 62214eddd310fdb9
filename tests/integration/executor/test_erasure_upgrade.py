"""What `docs/upgrade.md` gives to treat texts from before the release that erases them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from mesh.clock import SystemClock
from mesh.settings import PostgresSettings
from mesh.stores.migrations import migrate
from mesh.stores.partitions import month_of
from mesh.stores.postgres import SYSTEM, Postgres
from svc_executor.adapters.postgres.erasure import PostgresErasures
from svc_executor.app.erasure import EraseTexts
from tests.in_memory.executor.peers import MemoryMeter
from tests.integration.executor.test_retention import FOLDER, NOW, YOUNG, put

if TYPE_CHECKING:
    from soma_local.testing.engines import Databases

PAGE = Path(__file__).parents[3] / "docs/upgrade.md"
ENTER, NAME = re.findall(r"```sql\n(SET search_path TO executor.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
MONTH = "2026-11-01"
CLOCK = SystemClock()
TASK = {
    "task_id": "a", "index": 0, "step_type": "generate_text", "modality": "text", "task_type": "t", "depends_on": [],
    "on_failure": "FAIL_JOB",
}  # fmt: skip
_TEXTS = """
SELECT text FROM multimodal_executions UNION ALL SELECT text FROM job_steps
UNION ALL SELECT erased::text FROM job_steps
"""


async def test_texts_of_assets_that_were_erased_before_are_removed(databases: Databases) -> None:
    dsn = await databases.empty()
    await migrate(dsn, "executor", [FOLDER])
    owner = PostgresSettings(dsn=SecretStr(dsn), schema_name="executor")
    async with Postgres.open(owner) as postgres:
        async with postgres.transaction(SYSTEM) as connection:
            await put(connection, YOUNG, "COMPLETED", NOW)
            await connection.execute("UPDATE multimodal_executions SET asset_ids = '{asset}', text = 'secret'")
            await connection.execute("UPDATE job_steps SET text = 'secret', asset_ids = '{asset}', task = $1", TASK)
            await connection.execute("DELETE FROM asset_texts")
            # The executor has heard of it, and knew of no job that has it.
            await connection.execute("INSERT INTO erased_assets VALUES ('acme', 'asset', now(), NULL)")
            await connection.execute("CREATE SCHEMA assets")
            await connection.execute(
                "CREATE TABLE assets.multimodal_assets AS SELECT 'acme' AS tenant_id, id AS asset_id, "
                "'tombstoned' AS status, now() AS deleted_at FROM (VALUES ('asset'), ('no text')) AS given (id)"
            )
            assert MONTH in ENTER
            await connection.execute(ENTER.replace(MONTH, str(month_of(YOUNG))))
            kept = await connection.fetchval("SELECT plan_id::text FROM asset_texts WHERE asset_id = 'asset'")
            assert kept == YOUNG
            await connection.execute(NAME)
            assert await connection.fetchval("SELECT count(*) FROM erased_assets") == 1
        await EraseTexts(PostgresErasures(postgres), MemoryMeter(), CLOCK)()
        async with postgres.transaction(SYSTEM) as connection:
            assert [row["text"] for row in await connection.fetch(_TEXTS)] == ["", "", "true"]
