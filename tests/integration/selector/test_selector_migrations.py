"""The schema of the selector."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg

from mesh.stores.migrations import common_migrations, migrate, rollback

if TYPE_CHECKING:
    from soma_local.testing.engines import Databases

FOLDER = Path(__file__).parents[3] / "svc_selector" / "migrations"
FIRST = "20261123000200_selector.sql"
TABLES = {"selections", "budgets", "budget_accounts", "reservations", "budget_requests"}
INDEXES = {"selections_tenant", "budget_accounts_period"}


async def relations(dsn: str, kinds: str) -> dict[str, bool]:
    """Relations of the schema, and whether row-level security holds their owner too."""
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch(
            "SELECT relname, relrowsecurity AND relforcerowsecurity AS safe FROM pg_class "
            "WHERE relnamespace = 'selector'::regnamespace AND relkind::text = ANY(string_to_array($1, NULL))",
            kinds,
        )
    finally:
        await connection.close()
    return {row["relname"]: row["safe"] for row in rows}


async def test_every_table_belongs_to_tenants(databases: Databases) -> None:
    dsn = await databases.empty()
    await migrate(dsn, "selector", [FOLDER])
    assert {name for name, safe in (await relations(dsn, "r")).items() if safe} >= TABLES
    assert set(await relations(dsn, "i")) >= INDEXES


async def test_the_schema_goes_down_and_up_again(databases: Databases) -> None:
    dsn = await databases.empty()
    await migrate(dsn, "selector", [FOLDER])
    files = [file.name for folder in (*common_migrations(), FOLDER) for file in folder.glob("*.sql")]
    for _ in [name for name in files if name >= FIRST]:
        await rollback(dsn, "selector", [FOLDER])
    assert not TABLES & set(await relations(dsn, "r"))
    await migrate(dsn, "selector", [FOLDER])
    assert set(await relations(dsn, "r")) >= TABLES
