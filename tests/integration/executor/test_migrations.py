"""The schema of the executor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg

from mesh.stores.migrations import common_migrations, migrate, rollback

if TYPE_CHECKING:
    from soma_local.testing.engines import Databases

FOLDER = Path(__file__).parents[3] / "svc_executor" / "migrations"
FIRST = "20261123000200_executor.sql"
TABLES = {"multimodal_job_plans", "multimodal_executions", "job_steps", "job_events", "compensations"}


async def tables(dsn: str) -> dict[str, bool]:
    """Tables of the schema, and whether row-level security holds their owner too."""
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch(
            "SELECT relname, relrowsecurity AND relforcerowsecurity AS safe FROM pg_class "
            "WHERE relnamespace = 'executor'::regnamespace AND relkind IN ('r', 'p')"
        )
    finally:
        await connection.close()
    return {row["relname"]: row["safe"] for row in rows}


async def test_every_table_belongs_to_tenants(databases: Databases) -> None:
    dsn = await databases.empty()
    await migrate(dsn, "executor", [FOLDER])
    found = await tables(dsn)
    assert {name for name, safe in found.items() if safe} >= TABLES


async def test_the_schema_goes_down_and_up_again(databases: Databases) -> None:
    dsn = await databases.empty()
    await migrate(dsn, "executor", [FOLDER])
    for _ in [file for folder in (*common_migrations(), FOLDER) for file in folder.glob("*.sql") if file.name >= FIRST]:
        await rollback(dsn, "executor", [FOLDER])
    assert not TABLES & set(await tables(dsn))
    await migrate(dsn, "executor", [FOLDER])
    assert set(await tables(dsn)) >= TABLES
