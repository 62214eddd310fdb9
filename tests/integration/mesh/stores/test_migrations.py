"""Migrations: up, down, privileges."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import asyncpg
import pytest

from mesh.stores.migrations import MigrationError, common_migrations, migrate, rollback

if TYPE_CHECKING:
    from pathlib import Path

    from soma_local.testing.engines import Databases

_UP_DOWN = "-- migrate:up\nCREATE TABLE {0} (id text);\n-- migrate:down\nDROP TABLE {0};\n"
EVENT_TABLES = {"outbox", "outbox_bus", "outbox_rejected", "inbox", "stream_cursors"}
COMMON_TABLES = EVENT_TABLES | {"partitioned_tables", "retention_runs"}
COMMON = [file for folder in common_migrations() for file in folder.glob("*.sql")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "20990101000000_first.sql").write_text(_UP_DOWN.format("first"))
    (tmp_path / "20990102000000_second.sql").write_text(_UP_DOWN.format("second"))
    return tmp_path


async def tables(dsn: str, schema: str = "probe") -> set[str]:
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = $1", schema)
        return {row["tablename"] for row in rows} - {"schema_migrations"}
    finally:
        await connection.close()


async def test_up_makes_the_tables_and_the_event_tables(databases: Databases, folder: Path) -> None:
    dsn = await databases.empty()
    await migrate(dsn, "probe", [folder])
    assert await tables(dsn) == {"first", "second"} | COMMON_TABLES


async def test_down_undoes_one_step_at_a_time_to_nothing(databases: Databases, folder: Path) -> None:
    dsn = await databases.empty()
    await migrate(dsn, "probe", [folder])
    await rollback(dsn, "probe", [folder])
    assert await tables(dsn) == {"first"} | COMMON_TABLES
    for _ in range(1 + len(COMMON)):
        await rollback(dsn, "probe", [folder])
    assert await tables(dsn) == set()


async def test_migrating_again_changes_nothing_and_new_steps_are_applied(databases: Databases, folder: Path) -> None:
    dsn = await databases.empty()
    await migrate(dsn, "probe", [folder])
    (folder / "20990103000000_third.sql").write_text(_UP_DOWN.format("third"))
    await migrate(dsn, "probe", [folder])
    assert "third" in await tables(dsn)


async def test_several_may_migrate_at_once(databases: Databases, folder: Path) -> None:
    dsn = await databases.empty()
    await asyncio.gather(*(migrate(dsn, "probe", [folder]) for _ in range(4)))
    assert await tables(dsn) == {"first", "second"} | COMMON_TABLES


async def test_schemas_that_build_indexes_concurrently_may_migrate_at_once(databases: Databases, folder: Path) -> None:
    """Such a build waits for all statements that began before it, those that wait for a lock of its own among them."""
    (folder / "20990103000000_index.sql").write_text(
        "-- migrate:up transaction:false\nCREATE INDEX CONCURRENTLY first_id ON first (id);\n"
        "-- migrate:down transaction:false\nDROP INDEX CONCURRENTLY first_id;\n"
    )
    dsn = await databases.empty()
    names = [f"probe_{number}" for number in range(6)]
    await asyncio.gather(*(migrate(dsn, name, [folder]) for name in names))
    assert [await tables(dsn, name) for name in names] == [{"first", "second"} | COMMON_TABLES] * len(names)


async def test_contexts_share_a_database_each_in_its_schema(databases: Databases, folder: Path) -> None:
    dsn = await databases.empty()
    await asyncio.gather(migrate(dsn, "probe", [folder]), migrate(dsn, "other", []))
    assert await tables(dsn, "other") == COMMON_TABLES


async def test_a_failing_step_says_so_and_leaves_nothing(databases: Databases, folder: Path) -> None:
    dsn = await databases.empty()
    (folder / "20990103000000_bad.sql").write_text(
        "-- migrate:up\nCREATE TABLE t (x int);\nSELECT nonsense;\n-- migrate:down\n"
    )
    with pytest.raises(MigrationError, match="nonsense"):
        await migrate(dsn, "probe", [folder])
    assert "t" not in await tables(dsn)


async def test_two_steps_of_one_version_are_refused(databases: Databases, folder: Path) -> None:
    (folder / "20990101000000_twin.sql").write_text(_UP_DOWN.format("twin"))
    with pytest.raises(MigrationError, match="same version"):
        await migrate(await databases.empty(), "probe", [folder])


@pytest.mark.parametrize("schema", ["", "Probe", "a-b", 'a"; DROP', "x" * 64])
async def test_a_schema_needs_a_plain_name(databases: Databases, schema: str) -> None:
    with pytest.raises(ValueError, match="must match"):
        await migrate("postgresql://nowhere", schema, [])


async def test_the_role_of_the_context_changes_rows_and_nothing_else(databases: Databases, folder: Path) -> None:
    settings = await databases.fresh("probe", [folder])
    connection = await asyncpg.connect(settings.dsn.get_secret_value())
    try:
        await connection.execute("INSERT INTO probe.first VALUES ('x')")
        await connection.execute("UPDATE probe.first SET id = 'y'")
        assert await connection.fetchval("DELETE FROM probe.first RETURNING id") == "y"
        for forbidden in (
            "CREATE TABLE probe.mine (id text)",
            "DROP TABLE probe.first",
            "TRUNCATE probe.first",
            "ALTER TABLE probe.outbox DISABLE ROW LEVEL SECURITY",
            "DELETE FROM probe.schema_migrations",
            "CREATE TABLE public.mine (id text)",
            "SELECT * FROM pg_authid",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(forbidden)
    finally:
        await connection.close()


def test_every_common_migration_can_be_undone() -> None:
    assert {file.parent.parent.name for file in COMMON} == {"events", "stores"}
    for file in COMMON:
        assert "-- migrate:down" in file.read_text()
