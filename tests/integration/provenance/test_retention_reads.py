"""A chunk of retention reads what is due, not what tenants with longer terms keep, nor what later chunks remove."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest

from mesh.stores.postgres import Postgres
from mesh.stores.retention import Retention, RetentionPeriods
from mesh.testing import FakeClock
from svc_provenance.adapters.postgres import dead_letter_claims, retention
from tests.integration.mesh.events.test_resending import rows_read
from tests.integration.provenance.reads import Counting

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from soma_local.testing.engines import Databases
    from tests.conftest import Database

FOLDER = Path(__file__).parents[3] / "svc_provenance" / "migrations"
_FILL = """
CREATE TEMP TABLE old AS
SELECT n, CASE WHEN n % 500 = 0 THEN 'brief' ELSE 'long' END AS tenant_id, now() - n * interval '1 minute' AS at
FROM generate_series(1, 10000) AS n;
INSERT INTO asset_provenance (asset_id, tenant_id, asset_type, generation_params, deleted_at)
SELECT uuidv7(), tenant_id, 'image', '{}', at FROM old;
INSERT INTO asset_provenance (asset_id, tenant_id, deleted_at)
SELECT uuidv7(), CASE WHEN n % 2 = 0 THEN 'brief' ELSE 'marks' END, at - interval '1 year' FROM old;
INSERT INTO dlq_messages (
    dlq_id, tenant_id, topic, key, event_id, event_type, detail, attempts, value, cause, state, updated_at, created_at)
SELECT uuidv7(), tenant_id, 't', n::text, n::text, 'noted', '', 1, '\\x01', 'failed', 'resolved', at, at FROM old;
INSERT INTO trace_facts (tenant_id, job_id, month, kind, fact_id, occurred_at, summary, document)
SELECT 'tenant-' || n % 20, 'job-' || n, '1970-01-01', 'asset', n::text, at, '{}', '\\x01' FROM old;
ANALYZE asset_provenance, dlq_messages, trace_facts;
"""
_FILL_PART = """
INSERT INTO trace_facts (tenant_id, job_id, month, kind, fact_id, occurred_at, summary, document)
SELECT tenant_id, '00000000-' || n, date_trunc('month', now()), 'asset', n::text,
    at + (n % 2) * interval '9 days', '{}', '\\x01' FROM old;
INSERT INTO receipts SELECT r.* FROM old, jsonb_populate_record(NULL::receipts, jsonb_build_object(
    'receipt_id', uuidv7(), 'tenant_id', tenant_id, 'job_id', n::text, 'form', 'compact', 'month',
    CASE WHEN n % 100 = 0 THEN '1970-01-01' ELSE date_trunc('month', now()) END,
    'causes', '[]'::jsonb, 'state', 'completed', 'path', 'STANDARD', 'criterion_scores', '{}'::jsonb,
    'degradation_level', 0, 'candidates', 0, 'confidence', 0, 'attempts', 0, 'fallbacks', 0, 'reworks', 0,
    'latency_ms', 0, 'provider_ms', 0, 'cost_micro_usd', 0, 'trace_digest', '', 'asset_digests', '{}'::jsonb,
    'policy_ids', '[]'::jsonb, 'trace_ids', '[]'::jsonb, 'complete', true, 'ended_at', at,
    'attempt_details', '[]'::jsonb)) AS r;
ANALYZE trace_facts, receipts;
"""
# Dead letters of many tenants that stay, and then those of one that go.
_FILL_LETTERS = """
INSERT INTO dlq_messages (
    dlq_id, tenant_id, topic, key, event_id, event_type, detail, attempts, value, cause, state, updated_at, created_at)
SELECT uuidv7(), CASE WHEN n > 60 THEN 'a-' || n ELSE 'b' END, 't', n::text, n::text, 'noted', '', 1, '\\x01',
    'failed', 'resolved', at, at
FROM generate_series(1, 5060) AS n, LATERAL (SELECT timestamptz '2026-07-09' - (n <= 60)::integer * interval '99 days'
    AS at) AS moment;
ANALYZE dlq_messages;
"""


@pytest.fixture
async def kept(databases: Databases) -> AsyncIterator[asyncpg.Connection]:
    config = await databases.fresh("provenance", [FOLDER])
    connection = await asyncpg.connect(databases.owner_dsn(config), server_settings={"search_path": "provenance"})
    await connection.execute("SET session_replication_role = replica; SET soma.tenant_id = '*'")
    await connection.execute(_FILL, timeout=600)
    await connection.execute("SET ROLE provenance")
    # As it is with tables of which a chunk is a small part.
    await connection.execute("SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off")
    yield connection
    await connection.close()


@pytest.mark.parametrize(
    ("chunk", "most"),
    [
        (retention._PROVENANCE, 100),
        (retention._ERASURE_MARKS, 500),
        (retention._SETTLED, 100),
        (retention._TRACES, 1_500),
    ],
    ids=["provenance", "marks", "letters", "traces"],
)
async def test_a_chunk_reads_what_is_due(kept: asyncpg.Connection, chunk: str, most: int) -> None:
    read = await rows_read(kept, chunk, "NULL", "'{long}'", "now()", 100, "false", "''")
    assert 20 <= read <= most


async def test_marks_of_erasures_are_not_read_for_what_was_never_stored(kept: asyncpg.Connection) -> None:
    assert await rows_read(kept, retention._NEVER_STORED, "NULL", "'{}'", "now()", 100, "false") <= 10


@pytest.mark.parametrize("chunk", [retention._RECEIPTS, retention._TRACES], ids=["receipts", "traces"])
async def test_what_is_in_no_months_part_is_found_without_the_parts(kept: asyncpg.Connection, chunk: str) -> None:
    """Such as the one that holds rows beyond the longest term, and stays for those that are younger."""
    await kept.execute(f"RESET ROLE; {_FILL_PART}; SET ROLE provenance")
    read = await rows_read(kept, chunk, "NULL", "'{}'", "now()", 100, "true", "''")
    assert 100 <= read <= 1_500


async def test_a_chunk_goes_on_at_the_tenant_where_the_last_one_ended(
    database: Database, databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mesh.stores.retention.CHUNK", 20)
    config = await database("provenance")
    owner = await asyncpg.connect(databases.owner_dsn(config), server_settings={"search_path": "provenance"})
    await owner.execute(f"SET session_replication_role = replica; SET soma.tenant_id = '*'; {_FILL_LETTERS}")
    await owner.close()
    rule = next(rule for rule in retention.RETENTION_RULES if rule.chunk == retention._SETTLED)

    async def terms() -> Mapping[str, RetentionPeriods]:
        return {rule.period: RetentionPeriods(30)}

    async with Postgres.open(config) as postgres:
        counting = Counting(postgres)
        kept = Retention(counting, [rule], terms, FakeClock(datetime(2026, 7, 10, tzinfo=UTC)))  # type: ignore[arg-type]
        assert await kept.run() == {"dlq_messages": 60}
    first, *later = counting.reads
    assert first > 5_000
    assert max(later) < 500


async def test_counting_a_state_that_no_dead_letter_has_reads_none(kept: asyncpg.Connection) -> None:
    await kept.execute("SET enable_seqscan = on")
    assert await rows_read(kept, dead_letter_claims._COUNTS, "ARRAY['waiting', 'expired']", "100") <= 10
