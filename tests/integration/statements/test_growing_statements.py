"""The check of recorded statements sees those whose cost grows with a table, and only those."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest

from tests.statements import planted as planting
from tests.statements.explaining import explain, prepare

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from soma_local.testing.engines import Databases

TABLE = """
CREATE TABLE probe.things (
    thing_id uuid PRIMARY KEY, tenant_id text NOT NULL, name text NOT NULL, state text, made_at timestamptz NOT NULL
);
CREATE INDEX things_of_tenant ON probe.things (tenant_id, thing_id);
CREATE INDEX things_waiting ON probe.things (made_at) WHERE state = 'waiting';
CREATE TABLE probe.settings (tenant_id text PRIMARY KEY, body text NOT NULL);
CREATE INDEX things_named ON probe.things (lower(name));
GRANT SELECT, INSERT, UPDATE, DELETE ON probe.things, probe.settings TO probe;
ALTER TABLE probe.things ENABLE ROW LEVEL SECURITY;
CREATE POLICY things_tenant ON probe.things USING (CASE current_setting('soma.tenant_id', true)
    WHEN '*' THEN true ELSE current_setting('soma.tenant_id', true) = nullif(tenant_id, '') END);
"""
GROWING = (
    "SELECT * FROM things WHERE thing_id::text = $1",
    "SELECT count(*) FROM things",
    "SELECT count(*) FROM things WHERE tenant_id = $1",
    "SELECT * FROM things WHERE tenant_id = $1 ORDER BY thing_id",
    "SELECT * FROM things WHERE tenant_id = $1 ORDER BY made_at LIMIT 10",
    "SELECT * FROM things WHERE state = 'waiting' ORDER BY made_at",
    # The policy of the table keeps its index from being used, as `lower` might tell of rows that it hides.
    "SELECT * FROM things WHERE lower(name) = $1 LIMIT 10",
    "SELECT * FROM things WHERE name = $1",
    "UPDATE things SET state = 'done' WHERE state IS NULL",
    "SELECT * FROM things ORDER BY thing_id",
    "SELECT * FROM things WHERE name = $1 ORDER BY thing_id LIMIT 10",
    "SELECT * FROM things ORDER BY made_at LIMIT 10",
    "DELETE FROM things WHERE thing_id IN (SELECT thing_id FROM things ORDER BY random() LIMIT 5)",
)
BOUNDED = (
    "SELECT * FROM things WHERE thing_id = $1",
    "SELECT * FROM things WHERE tenant_id = $1 AND thing_id > $2 ORDER BY thing_id LIMIT 10",
    "SELECT count(*) FROM (SELECT FROM things WHERE tenant_id = $1 LIMIT 100) AS first",
    "SELECT 1 FROM things AS a WHERE thing_id = $1 AND EXISTS (SELECT FROM things WHERE tenant_id = a.name)",
    "SELECT * FROM things ORDER BY thing_id LIMIT 10",
    "SELECT * FROM things WHERE state = 'waiting' ORDER BY made_at LIMIT 10 FOR UPDATE SKIP LOCKED",
    "INSERT INTO things VALUES ($1, $2, $3, $4, $5) ON CONFLICT (thing_id) DO UPDATE SET name = excluded.name",
    "UPDATE things SET state = $2 WHERE thing_id = ANY($1::uuid[])",
    "SELECT * FROM things WHERE thing_id = $1 AND state = 'waiting'",
    "SELECT * FROM settings WHERE tenant_id = $1",
    "SELECT *, row_number() OVER (ORDER BY thing_id) FROM things WHERE tenant_id = $1 ORDER BY thing_id LIMIT 10",
    "SELECT 1",
)


@pytest.fixture(scope="module")
async def connection(databases: Databases) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(databases.owner_dsn(await databases.fresh("probe")))
    await connection.execute(TABLE)
    await prepare(connection, ["probe"])
    yield connection
    await connection.close()


@pytest.mark.parametrize("statement", GROWING)
async def test_statement_that_grows_is_found(connection: asyncpg.Connection, statement: str) -> None:
    assert await explain(connection, "probe", statement)


@pytest.mark.parametrize("statement", BOUNDED)
async def test_statement_that_is_bounded_by_a_key_is_not(connection: asyncpg.Connection, statement: str) -> None:
    assert not await explain(connection, "probe", statement)


async def test_statement_that_cannot_be_explained_is_found(connection: asyncpg.Connection) -> None:
    (finding,) = await explain(connection, "probe", "SELECT * FROM nothing")
    assert "cannot be explained" in str(finding)


@pytest.mark.timeout(900)  # a whole run of pytest, with an engine and the migrations of all contexts
def test_run_whose_product_sends_such_a_statement_fails() -> None:
    planted = Path(planting.__file__)
    command = [sys.executable, "-m", "pytest", "-n0", "--explain", str(planted)]
    done = subprocess.run(command, cwd=planted.parents[2], capture_output=True, text=True, check=False, timeout=800)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "GROWS critic: reads all of" in done.stdout
    assert "1 passed" in done.stdout
