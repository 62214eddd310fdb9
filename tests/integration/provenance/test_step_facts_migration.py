"""Facts of steps have a kind of their own, and go with it when the schema goes down."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg

from mesh.stores.migrations import migrate, rollback

if TYPE_CHECKING:
    from soma_local.testing.engines import Databases

FOLDER = Path(__file__).parents[3] / "svc_provenance" / "migrations"
FIRST = "20261201100000_step_facts.sql"
INSERT = """
INSERT INTO provenance.trace_facts (tenant_id, job_id, month, kind, fact_id, occurred_at, summary, document)
SELECT 'acme', 'j', '2026-12-01', kind, 'f', now(), '{}', '' FROM unnest($1::text[]) AS kind
"""


async def test_the_kind_of_steps_comes_and_goes(databases: Databases) -> None:
    dsn = await databases.empty()
    await migrate(dsn, "provenance", [FOLDER])
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("SET soma.tenant_id = '*'; SET search_path TO provenance, public")
        await connection.execute(INSERT, ["job", "step"])
        checked = "SELECT bool_and(convalidated) FROM pg_constraint WHERE conname = 'trace_facts_kind_check'"
        assert await connection.fetchval(checked)
        for _ in [file for file in FOLDER.glob("*.sql") if file.name >= FIRST]:
            await rollback(dsn, "provenance", [FOLDER])
        assert [row["kind"] for row in await connection.fetch("SELECT kind FROM provenance.trace_facts")] == ["job"]
        await migrate(dsn, "provenance", [FOLDER])
        await connection.execute(INSERT, ["step"])
    finally:
        await connection.close()
