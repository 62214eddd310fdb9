"""A part of a table cut by month that stays is neither counted nor locked, and one that goes is not read needlessly."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import asyncpg
import pytest

from mesh.stores.postgres import SYSTEM, Postgres
from tests.integration.provenance.reads import Counting
from tests.integration.provenance.test_partitions import owner

if TYPE_CHECKING:
    from soma_local.testing.engines import Databases
    from tests.conftest import Database

CUTOFF = datetime(2026, 4, 10, tzinfo=UTC)
_FILL = """
SELECT soma_make_month('trace_facts', '2026-03-01');
INSERT INTO trace_facts (tenant_id, job_id, month, kind, fact_id, occurred_at, summary, document)
SELECT 'acme', n, '2026-03-01', 'asset', n, CASE WHEN n = {young} THEN timestamptz '2026-04-11' ELSE '2026-03-15' END,
    '{{}}', '\\x01' FROM generate_series(1, 20000) AS n;
"""
_CHAINS = """
SET session_replication_role = replica;
SELECT soma_make_month('audit_events', '2026-03-01');
INSERT INTO audit_events
SELECT 'tenant-' || n % 10, n, n, '2026-03-15', '2026-03-15', 'job.read', 'executor', '', '', 'job', '', 'ALLOWED', '',
    '', '', '', '', '', decode('aa', 'hex') FROM generate_series(1, 20000) AS n;
ANALYZE audit_events;
UPDATE pg_class SET reltuples = 5000000 WHERE relname = 'audit_events_2026_03';
"""
_LOCKS = "SELECT count(*) FROM pg_locks WHERE relation = 'trace_facts_2026_03'::regclass AND mode = 'ShareLock'"


@pytest.mark.parametrize("young", [1, 20_000], ids=["first", "last"])
async def test_a_part_with_a_young_row_is_neither_counted_nor_locked(
    database: Database, databases: Databases, young: int
) -> None:
    config = await database("provenance")
    async with owner(databases.owner_dsn(config)) as connection:
        await connection.execute(_FILL.format(young=young))
    async with Postgres.open(config) as postgres:
        counting = Counting(postgres)
        async with counting.transaction(SYSTEM) as connection:
            assert await connection.fetchval("SELECT soma_drop_month('trace_facts', $1)", CUTOFF) is None
            assert await connection.fetchval(_LOCKS) == 0
        assert counting.reads[-1] < 10_000
        async with counting.transaction(SYSTEM) as connection:
            later = datetime(2026, 4, 12, tzinfo=UTC)
            assert await connection.fetchval("SELECT soma_drop_month('trace_facts', $1)", later) == 20_000


async def test_a_month_of_audit_chains_is_dropped_by_their_last_entries(
    database: Database, databases: Databases
) -> None:
    config = await database("provenance")
    async with owner(databases.owner_dsn(config)) as connection:
        await connection.execute(_CHAINS)
    starts = [
        {"tenant_id": f"tenant-{n % 10}", "sequence": n, "digest": "aa", "key_version": 1, "signature": "",
         "created_at": CUTOFF.isoformat()}
        for n in range(19_991, 20_001)
    ]  # fmt: skip
    async with Postgres.open(config) as postgres:
        counting = Counting(postgres)
        drop = "SELECT soma_drop_audit_month($1, $2)"
        async with counting.transaction(SYSTEM) as connection:
            # What was read of a table that is gone is not known any more.
            with pytest.raises(asyncpg.RaiseError, match="1 chains would lose their start"):
                async with connection.transaction():
                    await connection.fetchval(drop, date(2026, 3, 1), starts[1:])
        assert 0 < counting.reads[-1] < 100
        async with counting.transaction(SYSTEM) as connection:
            assert await connection.fetchval(drop, date(2026, 3, 1), starts) == 5_000_000
