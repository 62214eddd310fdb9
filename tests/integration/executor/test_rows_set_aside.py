"""The way around the migration that copies attempts, as `docs/operations/online_migrations.md` gives it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg

from mesh.stores.migrations import migrate
from tests.integration.executor.test_retention import FIRST, FOLDER, NOW, OLD, YOUNG, put

if TYPE_CHECKING:
    from soma_local.testing.engines import Databases

PAGE = Path(__file__).parents[3] / "docs/operations/online_migrations.md"
BEFORE, AFTER = (
    re.findall(r"(?:[^;$]|\$\$.*?\$\$)+;", block, re.DOTALL)
    for block in re.findall(r"```sql\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
)
EVERYTHING = "SELECT to_jsonb(e) - '{month,usage}'::text[] AS row FROM multimodal_executions e ORDER BY id"
RUNNING = "019f4000-0000-7000-8000-000000000001"


async def test_attempts_of_ended_jobs_are_set_aside_and_put_back(databases: Databases, tmp_path: Path) -> None:
    (tmp_path / FIRST).write_text((FOLDER / FIRST).read_text())
    dsn = await databases.plain("executor")
    await migrate(dsn, "executor", [tmp_path])
    connection = await asyncpg.connect(dsn, server_settings={"search_path": "executor"})
    try:
        await connection.execute("SET soma.tenant_id = '*'")
        for job_id in (OLD, YOUNG):
            await put(connection, job_id, "COMPLETED", NOW, month=False)
        await put(connection, RUNNING, "RUNNING", None, month=False)
        before = await connection.fetch(EVERYTHING)
        for statement in BEFORE:
            await connection.execute(statement)
        left = await connection.fetch("SELECT plan_id::text FROM multimodal_executions")
        assert [row["plan_id"] for row in left] == [RUNNING]
        await migrate(dsn, "executor", [FOLDER])
        for statement in AFTER:
            await connection.execute(statement)
        assert await connection.fetch(EVERYTHING) == before
    finally:
        await connection.close()
