"""Tables cut by month: nothing is lost on the way there, and the context's role can do no more than before."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mesh.ids import derive
from mesh.stores.migrations import common_migrations, migrate, rollback
from mesh.stores.partitions import UNKNOWN, month_of
from mesh.stores.postgres import SYSTEM, Postgres

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from soma_local.testing.engines import Databases
    from tests.conftest import Database

FOLDER = Path(__file__).parents[3] / "svc_provenance" / "migrations"
FIRST = "20261123000400_provenance.sql"


def made_in(year: int, month: int, number: int = 0) -> str:
    """An id of a job that began in the middle of a month."""
    milliseconds = int(datetime(year, month, 15, tzinfo=UTC).timestamp() * 1000)
    return str(UUID(int=(milliseconds << 80) | (7 << 76) | (2 << 62) | number))


@asynccontextmanager
async def owner(dsn: str, schema: str = "provenance") -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(dsn, server_settings={"search_path": schema, "timezone": "UTC"})
    try:
        await connection.execute("SET soma.tenant_id = '*'")
        yield connection
    finally:
        await connection.close()


async def parts(connection: asyncpg.Connection, table: str) -> set[str]:
    rows = await connection.fetch(
        "SELECT inhrelid::regclass::text AS part FROM pg_inherits WHERE inhparent = $1::text::regclass", table
    )
    return {row["part"].removeprefix(f"{table}_") for row in rows}


async def add_fact(
    connection: asyncpg.Connection, job_id: str, kind: str = "job", summary: str = '{"ended": true}'
) -> None:
    await connection.execute(
        "INSERT INTO trace_facts (tenant_id, job_id, kind, fact_id, occurred_at, summary, document) "
        "VALUES ('acme', $1, $2, 'f', '2026-03-01', $3::text::jsonb, '\\x01')",
        job_id,
        kind,
        summary,
    )


async def test_rows_of_the_old_schema_survive_each_in_its_month(databases: Databases, tmp_path: Path) -> None:
    (tmp_path / FIRST).write_text((FOLDER / FIRST).read_text())
    dsn = await databases.plain("provenance")
    await migrate(dsn, "provenance", [tmp_path])
    jobs = [made_in(2026, 1), made_in(2026, 2), "job-1"]
    async with owner(dsn) as connection:
        for job_id in jobs:
            await add_fact(connection, job_id)
        await add_fact(connection, made_in(2025, 12), "asset", "{}")
        before = await connection.fetch("SELECT job_id, kind, fact_id, summary, document FROM trace_facts ORDER BY 1")
    await migrate(dsn, "provenance", [FOLDER])
    async with owner(dsn) as connection:
        after = await connection.fetch("SELECT job_id, kind, fact_id, summary, document FROM trace_facts ORDER BY 1")
        places = await connection.fetch("SELECT job_id, month, tableoid::regclass::text AS part FROM trace_facts")
        due = await connection.fetch("SELECT job_id FROM receipts_due")
    assert after == before
    assert {row["part"].removeprefix("trace_facts_") for row in places} == {"2025_12", "2026_01", "2026_02", "default"}
    assert all(row["month"] == month_of(row["job_id"]) for row in places)
    assert {row["job_id"] for row in due} == set(jobs)


async def test_the_way_back_keeps_the_rows_too(databases: Databases) -> None:
    dsn = await databases.plain("provenance")
    await migrate(dsn, "provenance", [FOLDER])
    async with owner(dsn) as connection:
        await connection.execute(
            "INSERT INTO trace_facts (tenant_id, job_id, month, kind, fact_id, occurred_at, summary, document) "
            "VALUES ('acme', 'j', '1970-01-01', 'job', 'f', now(), '{}', '\\x01')"
        )
    for _ in [file for folder in (*common_migrations(), FOLDER) for file in folder.glob("*.sql") if file.name > FIRST]:
        await rollback(dsn, "provenance", [FOLDER])
    async with owner(dsn) as connection:
        assert await connection.fetchval("SELECT job_id FROM trace_facts") == "j"
        await add_fact(connection, "j", "asset")


async def test_months_are_made_ahead_once(database: Database) -> None:
    async with Postgres.open(await database("provenance")) as postgres, postgres.transaction(SYSTEM) as connection:
        assert await connection.fetchval("SELECT soma_month_partitions('receipts', 2, '2031-05-20')") == 3
        assert await connection.fetchval("SELECT soma_month_partitions('receipts', 2, '2031-05-20')") == 0
        assert {"2031_05", "2031_06", "2031_07", "default"} <= await parts(connection, "receipts")


async def test_rows_that_came_before_their_months_part_are_moved_into_it(
    databases: Databases, database: Database
) -> None:
    config = await database("provenance")
    async with owner(databases.owner_dsn(config)) as connection:
        job_id = made_in(2031, 5)
        await connection.execute(
            "INSERT INTO trace_facts (tenant_id, job_id, month, kind, fact_id, occurred_at, summary, document) "
            "VALUES ('acme', $1, '2031-05-01', 'asset', 'f', now(), '{}', '\\x01')",
            job_id,
        )
        where = "SELECT tableoid::regclass::text FROM trace_facts"
        assert await connection.fetchval(where) == "trace_facts_default"
        async with Postgres.open(config) as postgres, postgres.transaction("acme") as own:
            await own.execute("SELECT soma_month_partitions('trace_facts', 0, '2031-05-01')")
            assert await own.fetchval("SELECT current_setting('soma.tenant_id')") == "acme"
        assert await connection.fetchval(where) == "trace_facts_2031_05"


async def test_a_part_cannot_be_reached_around_the_whole_table(database: Database) -> None:
    async with Postgres.open(await database("provenance")) as postgres:
        for statement in (
            "SELECT * FROM trace_facts_default",
            "DELETE FROM receipts_default",
            "DROP TABLE receipts_default",
            "SELECT soma_make_month('receipts', '2031-01-01')",
            "SELECT soma_partition_by_month('outbox', 'created_at')",
            "INSERT INTO partitioned_tables VALUES ('outbox', 'created_at', false)",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with postgres.transaction(SYSTEM) as connection:
                    await connection.execute(statement)


async def test_only_tables_cut_by_month_have_parts_to_make_or_drop(database: Database) -> None:
    async with Postgres.open(await database("provenance")) as postgres:
        for statement in ("soma_month_partitions('outbox', 1)", "soma_drop_month('outbox', now())"):
            with pytest.raises(asyncpg.RaiseError):
                async with postgres.transaction(SYSTEM) as connection:
                    await connection.execute(f"SELECT {statement}")


async def test_the_migrating_role_needs_no_more_than_its_schema(databases: Databases) -> None:
    dsn = await databases.plain("provenance")
    await migrate(dsn, "provenance", [FOLDER])
    job_id = made_in(2031, 5)
    database = dsn.rpartition("/")[2].partition("?")[0]
    async with owner(databases.settings(database, "provenance").dsn.get_secret_value()) as connection:
        await connection.execute(
            "INSERT INTO trace_facts (tenant_id, job_id, month, kind, fact_id, occurred_at, summary, document) "
            "VALUES ('acme', $1, '2031-05-01', 'asset', 'f', '2031-05-20', '{}', '\\x01')",
            job_id,
        )
        assert await connection.fetchval("SELECT soma_month_partitions('trace_facts', 0, '2031-05-01')") == 1
        assert await connection.fetchval("SELECT tableoid::regclass::text FROM trace_facts") == "trace_facts_2031_05"
        drop = "SELECT soma_drop_month('trace_facts', $1)"
        while await connection.fetchval(drop, datetime(2031, 5, 30, tzinfo=UTC)) is not None:
            assert await connection.fetchval("SELECT count(*) FROM trace_facts") == 1
        assert await connection.fetchval(drop, datetime(2031, 6, 1, tzinfo=UTC)) == 1
        assert await connection.fetchval("SELECT count(*) FROM trace_facts") == 0


ids = st.one_of(
    st.text(max_size=40).filter(lambda text: "\x00" not in text),
    st.uuids().map(str),
    st.text().map(derive),
    st.builds(
        lambda ms, rest: str(UUID(int=(ms << 80) | (7 << 76) | (2 << 62) | rest)),
        st.integers(0, (1 << 48) - 1)
        | st.integers(946_000_000_000, 947_000_000_000)
        | st.integers(7_258_000_000_000, 7_259_000_000_000),
        st.integers(0, (1 << 62) - 1),
    ),
)


async def test_the_month_of_an_id_is_the_same_in_sql(database: Database) -> None:
    seen: set[str] = set()

    @given(st.lists(ids, max_size=50))
    @settings(max_examples=50, database=None, suppress_health_check=[HealthCheck.too_slow])
    def gather(found: list[str]) -> None:
        seen.update(found)

    gather()
    every = sorted({*seen, made_in(2000, 1), made_in(2199, 12), made_in(2026, 2)})
    async with Postgres.open(await database("probe")) as postgres, postgres.transaction(SYSTEM) as connection:
        rows = await connection.fetch("SELECT id, soma_month_of(id) AS month FROM unnest($1::text[]) AS id", every)
    assert {row["id"]: row["month"] for row in rows} == {id_: month_of(id_) for id_ in every}
    assert month_of(made_in(2026, 2)) == date(2026, 2, 1)
    assert any(month_of(id_) not in {UNKNOWN, date(2026, 2, 1)} for id_ in seen)
