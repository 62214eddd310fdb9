"""Row-level security of every context: read from the catalogue of Postgres, so that no new table is forgotten."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest

from mesh.stores.migrations import migrate

if TYPE_CHECKING:
    from soma_local.testing.engines import Databases

ROOT = Path(__file__).parents[3]
CONTEXTS = sorted(folder.parent.name.removeprefix("svc_") for folder in ROOT.glob("svc_*/migrations"))
_SETTING = "current_setting('soma.tenant_id'::text, true)"
FORM = f"CASE {_SETTING} WHEN '*'::text THEN true ELSE ({_SETTING} = NULLIF(tenant_id, ''::text)) END"
"""What every policy asks, as Postgres prints it: a comparison that is no CASE makes the planner expect few rows."""
OF_TENANTS = frozenset({"tenant_id", "tenant", "owner_tenant_id"})
WITHOUT_TENANT = {
    "schema_migrations": "which migrations were applied",
    "outbox_bus": "the bus that events were sent to",
    "inbox": "ids of events that were handled",
    "stream_cursors": "how far streams were read",
    "retention_runs": "when old rows were removed",
    "partitioned_tables": "which tables are cut by month",
}
"""Tables of every context that hold nothing of a tenant, and what they hold instead."""
WITHOUT_TENANT_IN = {"assets": {"blob_sweeps": "how far the sweep of stored bytes came"}}
"""The same by context."""


@dataclass(frozen=True)
class Table:
    """A table as Postgres knows it; a part of a table is reached through the whole alone."""

    name: str
    columns: frozenset[str]
    forced: bool
    policies: tuple[str, ...]

    @property
    def of_tenants(self) -> bool:
        """Whether its rows belong to tenants."""
        return bool(self.columns & OF_TENANTS)


_TABLES = """
SELECT c.relname AS name, c.relrowsecurity AND c.relforcerowsecurity AS forced,
    (SELECT array_agg(a.attname::text) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0) AS columns,
    ARRAY(SELECT DISTINCT coalesce(asked, '')
          FROM pg_policies p CROSS JOIN unnest(ARRAY[p.qual, coalesce(p.with_check, p.qual)]) AS asked
          WHERE p.schemaname = n.nspname AND p.tablename = c.relname) AS policies
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND NOT c.relispartition
ORDER BY 1
"""
_PARTS = """
SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relispartition AND c.relkind IN ('r', 'p') AND NOT c.relrowsecurity
"""


@pytest.fixture(params=CONTEXTS)
async def schema(request: pytest.FixtureRequest, databases: Databases) -> tuple[str, list[Table], list[str]]:
    """A context with its tables, and its parts of tables that are open."""
    context: str = request.param
    dsn = await databases.empty()
    await migrate(dsn, context, [ROOT / f"svc_{context}" / "migrations"])
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch(_TABLES, context)
        parts = [row["relname"] for row in await connection.fetch(_PARTS, context)]
    finally:
        await connection.close()
    tables = [Table(row["name"], frozenset(row["columns"]), row["forced"], tuple(row["policies"])) for row in rows]
    return context, tables, parts


def problems(context: str, tables: list[Table]) -> list[str]:
    """What is wrong with the tables of a context."""
    exempt = {**WITHOUT_TENANT, **WITHOUT_TENANT_IN.get(context, {})}
    found = []
    for table in tables:
        if not table.of_tenants:
            if table.name not in exempt:
                found.append(f"{table.name} has no tenant column, and no reason why")
        elif not table.forced:
            found.append(f"{table.name} does not force row-level security")
        elif not table.policies or any(" ".join(policy.split()) != FORM for policy in table.policies):
            found.append(f"{table.name} has no policy, or one of another form than {FORM}")
    return found


def test_there_are_contexts() -> None:
    assert {"registry", "assets", "executor", "gateway"} <= set(CONTEXTS)


async def test_every_table_is_of_tenants_or_has_a_reason(schema: tuple[str, list[Table], list[str]]) -> None:
    context, tables, _ = schema
    assert tables
    assert problems(context, tables) == []


async def test_no_part_of_a_table_is_open(schema: tuple[str, list[Table], list[str]]) -> None:
    assert schema[2] == []


async def test_the_reasons_are_of_tables_that_exist(schema: tuple[str, list[Table], list[str]]) -> None:
    context, tables, _ = schema
    without = {table.name for table in tables if not table.of_tenants}
    assert set(WITHOUT_TENANT_IN.get(context, {})) <= without


@pytest.mark.parametrize(
    "table",
    [
        Table("rows", frozenset({"tenant_id"}), forced=False, policies=(FORM,)),
        Table("rows", frozenset({"tenant_id"}), forced=True, policies=()),
        Table("rows", frozenset({"tenant_id"}), forced=True, policies=(FORM, "true")),
        Table("rows", frozenset({"tenant_id"}), forced=True, policies=(f"({_SETTING} = tenant_id)",)),
        Table("rows", frozenset({"tenant_id"}), forced=True, policies=(f"({_SETTING} IN (tenant_id, '*'))",)),
        Table("rows", frozenset({"id"}), forced=True, policies=(FORM,)),
    ],
)
def test_a_table_that_is_open_is_seen(table: Table) -> None:
    """The planted faults."""
    assert problems("registry", [table])
