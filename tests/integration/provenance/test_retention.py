"""Records vanish when they should, and no others."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from mesh.ids import derive
from mesh.stores.partitions import month_of
from mesh.stores.postgres import SYSTEM, Postgres
from mesh.stores.retention import MaintenanceTask, Retention
from mesh.testing import FakeClock
from mesh.testing.audit import auditor
from svc_provenance.adapters.postgres.retention import RETENTION_RULES, PostgresRetentionStore
from svc_provenance.domain.retention import RetentionDays, TenantRetention
from tests.integration.provenance.test_partitions import made_in

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    import asyncpg

    from mesh.stores.retention import RetentionRule
    from tests.conftest import Database

NOW = datetime(2026, 7, 10, tzinfo=UTC)
PLATFORM = RetentionDays(receipts_days=60, traces_days=60, audit_days=90, dead_letters_days=30)


class RetentionHarness:
    """The record's tables, a clock, and what runs on them."""

    def __init__(self, postgres: Postgres) -> None:
        self.postgres = postgres
        self.clock = FakeClock(NOW)
        self.terms = PostgresRetentionStore(postgres, PLATFORM, auditor("provenance"))

    def retention(self, rules: Sequence[RetentionRule | MaintenanceTask] = RETENTION_RULES) -> Retention:
        return Retention(self.postgres, rules, self.terms.periods, self.clock)

    async def months(self) -> None:
        """Parts as they would have been made in time."""
        async with self.postgres.transaction(SYSTEM) as connection:
            for table in ("trace_facts", "receipts"):
                await connection.execute("SELECT soma_month_partitions($1, 12, '2026-01-01')", table)

    async def job(self, tenant: str, job_id: str, last: datetime, facts: int = 1) -> str:
        """A job with a receipt and facts, the last of them at `last`, the others a day apart before it."""
        async with self.postgres.transaction(tenant) as connection:
            for number in range(facts):
                await self._fact(connection, tenant, job_id, f"f{number}", last - timedelta(days=number))
            await connection.execute(
                "INSERT INTO receipts SELECT (jsonb_populate_record(NULL::receipts, $1)).*",
                {
                    "receipt_id": derive(tenant, job_id), "tenant_id": tenant, "job_id": job_id, "form": "compact",
                    "month": month_of(job_id).isoformat(), "causes": [], "state": "completed", "path": "STANDARD",
                    "criterion_scores": {}, "degradation_level": 0, "candidates": 0, "confidence": 0, "attempts": 0,
                    "fallbacks": 0, "reworks": 0, "latency_ms": 0, "provider_ms": 0, "cost_micro_usd": 0,
                    "trace_digest": "", "asset_digests": {}, "policy_ids": [], "trace_ids": [], "complete": True,
                    "ended_at": last.isoformat(), "attempt_details": [],
                },
            )  # fmt: skip
        return job_id

    async def _fact(self, connection: asyncpg.Connection, tenant: str, job_id: str, name: str, at: datetime) -> None:
        await connection.execute(
            "INSERT INTO trace_facts (tenant_id, job_id, month, kind, fact_id, occurred_at, summary, document) "
            "VALUES ($1, $2, $3, 'asset', $4, $5, '{}', '\\x01')",
            tenant,
            job_id,
            month_of(job_id),
            name,
            at,
        )

    async def left(self, table: str = "trace_facts") -> set[str]:
        async with self.postgres.transaction(SYSTEM) as connection:
            return {row["job_id"] for row in await connection.fetch(f"SELECT job_id FROM {table}")}

    async def parts(self, table: str = "trace_facts") -> set[str]:
        statement = "SELECT inhrelid::regclass::text AS part FROM pg_inherits WHERE inhparent = $1::text::regclass"
        async with self.postgres.transaction(SYSTEM) as connection:
            return {row["part"].removeprefix(f"{table}_") for row in await connection.fetch(statement, table)}

    async def set_days(self, tenant: str, **days: int) -> None:
        await self.terms.save(tenant, TenantRetention(RetentionDays(**{**vars(PLATFORM), **days}), "ann", NOW))


@pytest.fixture
async def archive(database: Database) -> AsyncIterator[RetentionHarness]:
    async with Postgres.open(await database("provenance")) as postgres:
        opened = RetentionHarness(postgres)
        await opened.months()
        yield opened


async def test_a_month_is_dropped_whole_once_its_last_row_is_old(archive: RetentionHarness) -> None:
    await archive.job("acme", made_in(2026, 4), datetime(2026, 4, 30, tzinfo=UTC))
    archive.clock = FakeClock(datetime(2026, 6, 29, tzinfo=UTC))
    await archive.retention().run()
    assert {"2026_04", "2026_05"} <= await archive.parts()
    assert "2026_03" not in await archive.parts()
    job = await archive.job("acme", made_in(2026, 5), datetime(2026, 5, 15, tzinfo=UTC))
    archive.clock = FakeClock(datetime(2026, 6, 30, tzinfo=UTC))
    assert (await archive.retention().run())["trace_facts"] == 1
    assert "2026_04" not in await archive.parts()
    assert await archive.left() == await archive.left("receipts") == {job}


async def test_a_months_part_stays_while_one_of_its_jobs_is_young(archive: RetentionHarness) -> None:
    slow = await archive.job("acme", made_in(2026, 3), NOW - timedelta(days=59), facts=40)
    await archive.retention().run()
    assert await archive.left() == await archive.left("receipts") == {slow}
    assert "2026_03" in await archive.parts()


async def test_tenants_with_a_shorter_term_lose_their_rows_and_others_do_not(archive: RetentionHarness) -> None:
    await archive.set_days("brief", traces_days=10, receipts_days=20)
    gone = await archive.job("brief", made_in(2026, 6, 1), NOW - timedelta(days=15))
    kept = await archive.job("brief", made_in(2026, 7, 2), NOW - timedelta(days=9))
    other = await archive.job("acme", made_in(2026, 6, 3), NOW - timedelta(days=15))
    await archive.retention().run()
    assert await archive.left() == {kept, other}
    assert await archive.left("receipts") == {gone, kept, other}


async def test_a_longer_term_of_one_tenant_keeps_its_rows_and_not_those_of_others(archive: RetentionHarness) -> None:
    await archive.set_days("archive", traces_days=400)
    kept = await archive.job("archive", made_in(2026, 2, 1), datetime(2026, 2, 20, tzinfo=UTC))
    await archive.job("acme", made_in(2026, 2, 2), datetime(2026, 2, 20, tzinfo=UTC))
    await archive.retention().run()
    assert await archive.left() == {kept}


async def test_the_facts_of_a_job_go_together(archive: RetentionHarness) -> None:
    await archive.set_days("brief", traces_days=10)
    job = await archive.job("brief", made_in(2026, 6), NOW - timedelta(days=8), facts=6)
    removed = await archive.retention().run()
    assert (await archive.left(), removed.get("trace_facts", 0)) == ({job}, 0)
    archive.clock = FakeClock(NOW + timedelta(days=3))
    assert (await archive.retention().run())["trace_facts"] == 6


async def test_rows_in_no_months_part_go_at_the_longest_term(archive: RetentionHarness) -> None:
    await archive.job("acme", "no-moment", NOW - timedelta(days=61))
    await archive.job("acme", made_in(2025, 3), datetime(2026, 3, 1, tzinfo=UTC))
    young = await archive.job("acme", "no-moment-either", NOW - timedelta(days=59))
    await archive.retention().run()
    assert await archive.left() == await archive.left("receipts") == {young}


async def test_more_rows_than_a_chunk_all_go(archive: RetentionHarness) -> None:
    await archive.set_days("brief", traces_days=10)
    await archive.job("brief", made_in(2026, 6), NOW - timedelta(days=10, hours=1), facts=8)
    async with archive.postgres.transaction("brief") as connection:
        await connection.execute(
            "INSERT INTO trace_facts SELECT tenant_id, job_id || n, '2026-06-01', kind, fact_id, occurred_at, summary, "
            "document FROM trace_facts, generate_series(1, 100) n"
        )
    assert (await archive.retention().run())["trace_facts"] == 808


async def test_a_second_run_finds_nothing_to_do(archive: RetentionHarness) -> None:
    await archive.job("acme", made_in(2026, 2), datetime(2026, 2, 20, tzinfo=UTC))
    assert await archive.retention().run() == {"receipts": 1, "trace_facts": 1}
    assert await archive.retention().run() == {}


async def test_members_at_once_remove_what_one_would(archive: RetentionHarness) -> None:
    await archive.set_days("brief", traces_days=10, receipts_days=10)
    for number in range(30):
        await archive.job("brief", made_in(2026, 6, number), NOW - timedelta(days=15), facts=3)
    kept = await archive.job("acme", made_in(2026, 6, 99), NOW - timedelta(days=15))
    totals = await asyncio.gather(*(archive.retention().run() for _ in range(4)))
    assert sum(total.get("trace_facts", 0) for total in totals) == 90
    assert await archive.left() == await archive.left("receipts") == {kept}


async def test_a_run_that_died_leaves_whole_jobs_and_the_next_one_ends_it(archive: RetentionHarness) -> None:
    """The second chunk fails in its transaction; the first one's jobs are gone whole, the others are whole."""
    await archive.set_days("brief", traces_days=10)
    for number in range(600):
        await archive.job("brief", made_in(2026, 6, number), NOW - timedelta(days=15), facts=2)
    traces = next(rule for rule in RETENTION_RULES if rule.table == "trace_facts")
    run = archive.retention([traces])
    # Stopped between two transactions, as by a kill.
    *_, steps = run._independent_steps(traces, (await archive.terms.periods())["traces"], NOW)
    await anext(steps)
    await steps.aclose()  # type: ignore[attr-defined]
    async with archive.postgres.transaction(SYSTEM) as connection:
        counts = await connection.fetch("SELECT count(*) AS facts FROM trace_facts GROUP BY job_id")
    assert 0 < len(counts) < 600
    assert {row["facts"] for row in counts} == {2}
    assert await run.is_due()
    await run.run()
    assert await archive.left() == set()
    assert not await run.is_due()


async def test_a_table_that_fails_does_not_keep_the_others_and_is_tried_again(archive: RetentionHarness) -> None:
    await archive.job("acme", made_in(2026, 2), datetime(2026, 2, 20, tzinfo=UTC))
    broken = type(RETENTION_RULES[0])("nothing", "traces", "SELECT 1 FROM nothing WHERE $1 = $2 AND $3 AND $4 AND $5")
    run = archive.retention([broken, *RETENTION_RULES])
    assert await run.run() == {"receipts": 1, "trace_facts": 1}
    assert await run.is_due()


async def test_a_run_is_due_once_a_day_whoever_made_the_last(archive: RetentionHarness) -> None:
    assert await archive.retention().is_due()
    await archive.retention().run()
    assert not await archive.retention().is_due()
    archive.clock = FakeClock(NOW + timedelta(days=1))
    assert await archive.retention().is_due()


async def test_provenance_outlives_its_asset_by_a_traces_term(archive: RetentionHarness) -> None:
    rows = [("erased long ago", NOW - timedelta(days=61)), ("erased", NOW - timedelta(days=59)), ("there", None)]
    async with archive.postgres.transaction("acme") as connection:
        for name, deleted in rows:
            await connection.execute(
                "INSERT INTO asset_provenance (asset_id, tenant_id, model, generation_params, deleted_at) "
                "VALUES ($1, 'acme', $2, '{}', $3)",
                derive(name),
                name,
                deleted,
            )
    await archive.retention().run()
    async with archive.postgres.transaction("acme") as connection:
        left = await connection.fetch("SELECT model FROM asset_provenance ORDER BY 1")
    assert [row["model"] for row in left] == ["erased", "there", None]


async def test_days_go_by_and_records_go_with_them(archive: RetentionHarness) -> None:
    """The task that every member runs, over seventy days: at each, what is left is what the terms say."""
    await archive.set_days("brief", traces_days=10, receipts_days=10)
    ended = {
        await archive.job(tenant, made_in(2026, 7, number), NOW + timedelta(days=number), facts=2): (tenant, number)
        for number in range(0, 50, 7)
        for tenant in ("brief", "acme")
        for number in (number + (tenant == "acme"),)
    }
    keeping = asyncio.create_task(archive.retention().run_daily())
    try:
        for day in range(0, 71, 10):
            while archive.clock.now() < NOW + timedelta(days=day, hours=2):
                await _asleep(archive.clock)
                await archive.clock.advance(3_600)
            await _asleep(archive.clock)
            left = await archive.left()
            young = {job for job, (tenant, end) in ended.items() if end > day - (10 if tenant == "brief" else 60)}
            old = {job for job, (tenant, end) in ended.items() if tenant == "brief" and end < day - 11}
            assert young <= left
            assert not old & left
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


async def _asleep(clock: FakeClock) -> None:
    """Wait until the task has nothing left to do."""
    async with asyncio.timeout(20):
        await clock.sleeper()


async def test_a_part_that_somebody_holds_is_left_to_the_next_run(archive: RetentionHarness) -> None:
    """The rows of tenants with a shorter term are not."""
    await archive.set_days("brief", traces_days=10)
    held = await archive.job("acme", made_in(2026, 2), datetime(2026, 2, 20, tzinfo=UTC))
    await archive.job("brief", made_in(2026, 6), NOW - timedelta(days=15))
    async with archive.postgres.transaction("acme") as reader:
        await reader.fetch("SELECT * FROM trace_facts")
        assert await archive.retention().run() == {"receipts": 1, "trace_facts": 1}
    assert await archive.left() == {held}
    assert await archive.retention().is_due()
    assert await archive.retention().run() == {"trace_facts": 1}


async def test_a_table_with_an_upkeep_of_its_own_is_asked_with_its_longest_term(archive: RetentionHarness) -> None:
    asked: list[tuple[datetime, datetime]] = []

    async def upkeep(now: datetime, before: datetime) -> int:
        asked.append((now, before))
        return 3

    await archive.set_days("bank", audit_days=1_000)
    assert await archive.retention([MaintenanceTask("audit_events", "audit", upkeep)]).run() == {"audit_events": 3}
    assert asked == [(NOW, NOW - timedelta(days=1_000))]
