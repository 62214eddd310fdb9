"""Fills tables with copies of rows that are there, under keys of their own, spread over many tenants."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import asyncpg

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

TENANTS = 1_000
AT_ONCE = 2
LIVE = {
    "multimodal_capabilities": 5_000,
    "ladders": 5_000,
    "audit_pending": 0,
    "audit_pending_failed": 0,
    "outbox_rejected": 0,
}
"""Rows of tables that services hold in memory, as the design wants it: memory is what bounds them. What waits for the
audit chain is written within a second, and rows of no content cannot be.
"""
_SETTINGS = {
    "autovacuum": "off",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "maintenance_work_mem": "512MB",
}
"""Settings of the server while tables are filled and nothing else uses it; those of its command line stay."""
TEMPLATES = 8
SPAN_S = 80_000
"""Rows are spread over this many seconds before now: less than a day, so that no retention removes them."""

SINGLE = {
    "schema_migrations": "one row a migration",
    "partitioned_tables": "one row a table that is cut by month",
    "retention_runs": "one row a task",
    "outbox_bus": "one row",
    "blob_sweeps": "one row",
}
"""Tables that do not grow, whatever tenants do, each with the reason."""

_TABLES = """
SELECT n.nspname, c.relname, c.oid
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = ANY($1) AND c.relkind IN ('r', 'p') AND NOT c.relispartition
ORDER BY 1, 2
"""
_COLUMNS = """
SELECT a.attname AS name, format_type(a.atttypid, NULL) AS type, a.attnotnull AS required,
       a.attgenerated <> '' OR a.attidentity <> '' AS made,
       coalesce(pg_get_expr(d.adbin, d.adrelid), '') LIKE 'nextval(%' AS counted,
       EXISTS (
         SELECT FROM pg_index i WHERE i.indrelid = a.attrelid AND i.indisunique AND a.attnum = ANY(i.indkey)) AS key,
       EXISTS (
         SELECT FROM pg_index i WHERE i.indrelid = a.attrelid AND i.indisunique
           AND a.attnum = (
             SELECT l.attnum FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k (number, place)
             JOIN pg_attribute l ON l.attrelid = i.indrelid AND l.attnum = k.number
             WHERE l.attname NOT IN ('tenant_id', 'modality', 'kind', 'scope') ORDER BY k.place DESC LIMIT 1)
           AND NOT EXISTS (
             SELECT FROM pg_attribute o WHERE o.attrelid = i.indrelid AND o.attnum = ANY(i.indkey)
               AND o.atttypid IN ('uuid'::regtype, 'bigint'::regtype, 'integer'::regtype)))
         AND NOT EXISTS (
           SELECT FROM pg_constraint c WHERE c.conrelid = a.attrelid AND c.contype = 'c' AND a.attnum = ANY(c.conkey)
         ) AS words
FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""
_CHECKS = """
SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname) FROM pg_constraint
WHERE contype = 'c' AND conrelid = $1::regclass AND coninhcount = 0
"""
_INDEXES = """
SELECT indexrelid::regclass AS name, replace(pg_get_indexdef(indexrelid), ' ON ONLY ', ' ON ') AS definition
FROM pg_index WHERE indrelid = $1::text::regclass AND NOT indisunique
"""
"""Those that tell no rows apart: rows are written faster before they are there. Those of a partitioned table are made
again with those of its partitions.
"""
_AGE = f"(g % {SPAN_S}) * interval '1 second'"
_SET = {
    ("compensations", "done"): "true",
    ("reservations", "expires_at"): "clock_timestamp() + interval '1 day'",
    ("api_keys", "created_at"): "clock_timestamp() - interval '40 days'",
    ("api_keys", "expires_at"): "clock_timestamp() + interval '300 days'",
    ("api_keys", "revoked_at"): f"CASE WHEN g % 100 = 0 THEN clock_timestamp() - {_AGE} END",
    ("receipts", "receipt_id"): "gen_random_uuid()",
}
"""Values of columns that keep rows from being work that is due, from counting against a limit of their tenant, and from
having expired. Of a hundred API keys one is revoked: services hold those in memory.
"""
_UUID = "'^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'"
_EMPTY = {
    "uuid": "uuidv7()", "text": "'x' || g", "jsonb": "'{}'::jsonb", "boolean": "false", "bigint": "g", "integer": "1",
    "double precision": "0", "timestamp with time zone": "clock_timestamp() + interval '1 day'",
    "bytea": "''::bytea", "smallint": "1",
    "text[]": "'{}'::text[]", "date": "current_date",
}  # fmt: skip


@dataclass(frozen=True)
class Table:
    """A table that grows, with its columns as the catalogue tells them."""

    schema: str
    name: str
    columns: Sequence[asyncpg.Record]

    @property
    def place(self) -> str:
        """Its quoted name."""
        return f'"{self.schema}"."{self.name}"'

    @property
    def written(self) -> list[asyncpg.Record]:
        """Columns that are given a value; the database makes the others."""
        return [column for column in self.columns if not column["made"] and not column["counted"]]


async def fill_all(
    dsn: str, schemas: Sequence[str], rows: int, tenant: str, log: Callable[[str], None]
) -> tuple[dict[str, int], list[str]]:
    """Fills the tables of schemas, while nothing else uses them.

    Gives the rows of each table, and the names of those in which nothing was to be copied.
    """
    counts, copied_from_nothing = dict[str, int](), list[str]()

    async def fill_from(queue: list[Table]) -> None:
        async with _connected(dsn) as connection:
            while queue:
                table = queue.pop(0)
                copied = await fill_without_indexes(connection, table, min(rows, LIVE.get(table.name, rows)), tenant)
                name = f"{table.schema}.{table.name}"
                counts[name] = int(await connection.fetchval(f"SELECT count(*) FROM {table.place}"))
                if not copied:
                    copied_from_nothing.append(name)
                log(f"  {name}: {counts[name]:,} rows")

    async with _connected(dsn) as connection:
        for name, value in _SETTINGS.items():
            await connection.execute(f"ALTER SYSTEM SET {name} = '{value}'")
        await connection.execute("SELECT pg_reload_conf()")
        queue = await tables(connection, schemas)
        await asyncio.gather(*(fill_from(queue) for _ in range(AT_ONCE)))
        for name in _SETTINGS:
            await connection.execute(f"ALTER SYSTEM RESET {name}")
        await connection.execute("SELECT pg_reload_conf()")
        await connection.execute("CHECKPOINT")  # else the filled pages would be written while calls are measured
    return counts, copied_from_nothing


@asynccontextmanager
async def _connected(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(dsn, command_timeout=3_600)
    try:
        yield connection
    finally:
        await connection.close()


async def tables(connection: asyncpg.Connection, schemas: Sequence[str]) -> list[Table]:
    """The tables of schemas that grow."""
    found = await connection.fetch(_TABLES, list(schemas))
    return [
        Table(row["nspname"], row["relname"], await connection.fetch(_COLUMNS, row["oid"]))
        for row in found
        if row["relname"] not in SINGLE
    ]


def expression(column: Mapping[str, object], tenant: str) -> str:
    """The value of a column in the row with number `g`, copied from the row `t` where it need not be another."""
    name, kind = str(column["name"]), str(column["type"])
    own = f't."{name}"'
    if name == "tenant_id":
        return f"CASE WHEN g % {TENANTS} = 0 THEN '{tenant}' ELSE 'tenant-' || g % {TENANTS} END"
    if kind == "timestamp with time zone":
        return f"CASE WHEN {own} IS NULL THEN NULL ELSE clock_timestamp() - {_AGE} END"
    if not column["key"]:
        return own
    if kind == "uuid":
        return f"uuidv7(-({_AGE}))"
    if kind == "text":
        # Words are kept where others beside them tell keys apart: they may be kinds or states.
        other = f"{own} || '-' || g" if column["words"] else own
        return f"CASE WHEN {own} ~ {_UUID} THEN uuidv7(-({_AGE}))::text ELSE {other} END"
    return f"{own} + g + 1" if kind in {"bigint", "integer"} else own


async def fill_without_indexes(connection: asyncpg.Connection, table: Table, rows: int, tenant: str) -> int:
    """Adds rows as `fill` does, before the indexes, and leaves the table as autovacuum would."""
    indexes = await connection.fetch(_INDEXES, table.place)
    for index in indexes:
        await connection.execute(f"DROP INDEX {index['name']}")
    copied = await fill(connection, table, rows, tenant)
    for index in indexes:
        await connection.execute(index["definition"])
    await connection.execute(f"VACUUM (FREEZE, ANALYZE) {table.place}")
    return copied


async def fill(connection: asyncpg.Connection, table: Table, rows: int, tenant: str) -> int:
    """Adds rows to a table; of every thousand, one is the tenant's. Gives how many were there to copy from.

    Constraints between tables are not checked and triggers do not fire: the copies are to be numerous, not consistent.
    Where there is nothing to copy, rows of no content are made, which are not due yet, and checks of the table are
    dropped for them.
    """
    await connection.execute("SET session_replication_role = replica")
    await connection.execute("DROP TABLE IF EXISTS pg_temp.template")
    await connection.execute(
        "CREATE TEMP TABLE template AS "
        f"SELECT row_number() OVER () - 1 AS place, * FROM {table.place} LIMIT {TEMPLATES}"
    )
    copied = int(await connection.fetchval("SELECT count(*) FROM template"))
    for row in await connection.fetch(_CHECKS, table.place) if not copied else ():
        await connection.execute(row[0])
    names = ", ".join(f'"{column["name"]}"' for column in table.written)
    values = [
        _SET.get((table.name, column["name"]))
        or (expression(column, tenant) if copied or column["name"] == "tenant_id" else _empty(column))
        for column in table.written
    ]
    source = f"JOIN template t ON t.place = g % {copied}" if copied else ""
    await connection.execute(
        f"INSERT INTO {table.place} ({names}) SELECT {', '.join(values)} "
        f"FROM generate_series(0, {rows - 1}) AS g {source} ON CONFLICT DO NOTHING",
        timeout=3_600,
    )
    await connection.execute("SET session_replication_role = DEFAULT")
    return copied


def _empty(column: Mapping[str, object]) -> str:
    return _EMPTY[str(column["type"])] if column["required"] or column["key"] else "NULL"
