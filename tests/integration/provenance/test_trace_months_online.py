"""The way to cut a large table of facts by month beside a running service, as the page for operators tells it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest

from mesh.stores.migrations import migrate
from mesh.stores.partitions import month_of
from tests.integration.provenance.test_partitions import FIRST, FOLDER, add_fact, made_in, owner

if TYPE_CHECKING:
    from soma_local.testing.engines import Databases

PAGE = Path(__file__).parents[3] / "docs" / "operations" / "trace_months.md"
BEFORE, AFTER = re.findall(r"```sql\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
MOVE = "CALL move_former_facts(5000);"


def parted(script: str) -> list[str]:
    """A script's statements, as psql sends them one by one; a block in dollars is one."""
    found, rest = [], script
    while statement := re.match(r"\s*((?:\$\$.*?\$\$|[^;$])+;)", rest, re.DOTALL):
        found.append(statement[1])
        rest = rest[statement.end() :]
    return found


async def run(connection: asyncpg.Connection, script: str) -> None:
    for statement in parted(script):
        await connection.execute(statement)


@pytest.fixture
async def dsn(databases: Databases, tmp_path: Path) -> str:
    """A database of the version before, with facts of two months and of an id without a moment."""
    (tmp_path / FIRST).write_text((FOLDER / FIRST).read_text())
    made = await databases.plain("provenance")
    await migrate(made, "provenance", [tmp_path])
    async with owner(made) as connection:
        for job_id in (*(made_in(2026, 1, number) for number in range(5)), made_in(2026, 2), "job-1"):
            await add_fact(connection, job_id)
    return made


async def test_the_migration_finds_an_empty_table_and_the_facts_come_back(dsn: str) -> None:
    running = made_in(2026, 1)
    async with owner(dsn) as connection:
        former = {row["job_id"] for row in await connection.fetch("SELECT job_id FROM trace_facts")}
        await run(connection, BEFORE)
        assert await connection.fetchval("SELECT count(*) FROM trace_facts") == 0
        await add_fact(connection, running, summary='{"ended": true, "newer": true}')
    await migrate(dsn, "provenance", [FOLDER])
    async with owner(dsn) as connection:
        await run(connection, AFTER.replace(MOVE, MOVE.replace("5000", "2")))
        rows = await connection.fetch(
            "SELECT job_id, month, summary, tableoid::regclass::text AS part FROM trace_facts"
        )
        due = {row["job_id"] for row in await connection.fetch("SELECT job_id FROM receipts_due")}
    assert {row["job_id"] for row in rows} == former == due
    assert {row["part"].removeprefix("trace_facts_") for row in rows} == {"2026_01", "2026_02", "default"}
    assert all(row["month"] == month_of(row["job_id"]) for row in rows)
    assert "newer" in next(row["summary"] for row in rows if row["job_id"] == running)


async def test_a_move_that_was_stopped_goes_on_where_it_was(dsn: str) -> None:
    async with owner(dsn) as connection:
        await run(connection, BEFORE)
    await migrate(dsn, "provenance", [FOLDER])
    prepare, _, rest = AFTER.partition(MOVE)
    async with owner(dsn) as connection:
        await run(connection, prepare)
        await connection.execute("ALTER TABLE receipts_due ADD CONSTRAINT stop CHECK (job_id <> $$job-1$$) NOT VALID")
        with pytest.raises(asyncpg.CheckViolationError):
            await connection.execute("CALL move_former_facts(2)")
        moved = await connection.fetchval("SELECT count(*) FROM trace_facts")
        assert 0 < moved < await connection.fetchval("SELECT count(*) FROM trace_facts_former")
        await connection.execute("ALTER TABLE receipts_due DROP CONSTRAINT stop")
        await run(connection, MOVE + rest)
        assert await connection.fetchval("SELECT count(*) FROM trace_facts") == 7
