"""Explains recorded statements on scratch tables that hold many rows of many tenants."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg

from mesh.contexts import installed
from mesh.stores.migrations import migrate
from mesh.stores.postgres import FORCE_INDEX_SCAN
from soma_local.testing import engines
from tests.bench.growth.filling import SINGLE, fill, tables
from tests.statements.plans import Indexes, scans

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ROOT = Path(__file__).parents[2]
CONTEXTS = tuple(context.name for context in installed())
ROWS = 10_000
_EMPTY = "SELECT relname FROM pg_class WHERE relispartition AND relkind = 'r' AND reltuples <= 0"
_PARTIAL = "SELECT relname FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid WHERE i.indpred IS NOT NULL"
_UNIQUE = """
SELECT c.relname, array_agg(a.attname::text) AS columns
FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY(i.indkey)
WHERE i.indisunique AND i.indpred IS NULL AND 0 <> ALL(i.indkey) GROUP BY i.indexrelid, c.relname
"""
_GENERIC_PLAN = """
CREATE OR REPLACE FUNCTION public.generic_plan(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE plan text;
BEGIN
    EXECUTE 'EXPLAIN (GENERIC_PLAN, FORMAT JSON) ' || statement INTO plan;
    RETURN plan;
END $$
"""


@dataclass(frozen=True)
class Finding:
    """A statement whose cost grows with a table."""

    schema: str
    statement: str
    reason: str

    def __str__(self) -> str:
        return f"{self.schema}: {self.reason}: {' '.join(self.statement.split())}"


async def findings(recorded: Iterable[tuple[str, str]]) -> list[Finding]:
    """What grows among the statements of the contexts, by the plans that Postgres makes without knowing arguments."""
    statements = sorted({(schema, statement) for schema, statement in recorded if schema in CONTEXTS})
    contexts = sorted({schema for schema, _ in statements})
    async with engines.postgres_engine() as engine:
        for context in contexts:
            await migrate(engine.dsn, context, [ROOT / f"svc_{context}" / "migrations"])
        connection = await asyncpg.connect(engine.dsn)
        try:
            await prepare(connection, contexts)
            return [finding for each in statements for finding in await explain(connection, *each)]
        finally:
            await connection.close()


async def prepare(connection: asyncpg.Connection, schemas: Sequence[str]) -> None:
    """Fills the tables of schemas with rows of no content: their number and their keys are what plans are made by."""
    for table in await tables(connection, schemas):
        await fill(connection, table, ROWS, "tenant-0")
    await connection.execute("ANALYZE")
    await connection.execute(_GENERIC_PLAN)


async def explain(connection: asyncpg.Connection, schema: str, statement: str) -> list[Finding]:
    """Why a statement's cost grows, for each table that it reads in such a way.

    It is planned for the role of the context, since policies keep some indexes from being used. Reading a table row by
    row is made dear, so that it is planned only where no index serves. Few rows of a tenant are sorted rather than read
    in order, so a plan that grows is made once more with sorting made dear.
    """
    try:
        grown = await _growth(connection, schema, statement, "SET LOCAL enable_seqscan = off")
        if grown:
            grown = await _growth(connection, schema, statement, FORCE_INDEX_SCAN)
    except asyncpg.PostgresError as error:
        return [Finding(schema, statement, f"cannot be explained: {error}")]
    return [Finding(schema, statement, reason) for reason in sorted(grown)]


async def _growth(connection: asyncpg.Connection, schema: str, statement: str, dear: str) -> set[str]:
    async with connection.transaction():
        await connection.execute(f"SET LOCAL search_path = {schema}, public; SET LOCAL ROLE {schema}; {dear}")
        (whole,) = json.loads(await connection.fetchval("SELECT public.generic_plan($1)", statement))
    indexes = await _indexes(connection)
    # Parts of months to come hold no rows, so that reading all of one is the cheapest way.
    ignored = {row["relname"] for row in await connection.fetch(_EMPTY)} | set(SINGLE)
    return {scan.growth(indexes) for scan in scans(whole["Plan"]) if scan.table not in ignored} - {""}


async def _indexes(connection: asyncpg.Connection) -> Indexes:
    unique: dict[str, list[frozenset[str]]] = {}
    for row in await connection.fetch(_UNIQUE):
        unique.setdefault(row["relname"], []).append(frozenset(row["columns"]))
    return Indexes(frozenset(row["relname"] for row in await connection.fetch(_PARTIAL)), unique)
