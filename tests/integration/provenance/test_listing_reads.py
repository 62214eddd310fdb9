"""Pages of lists over full tables, planned as in production: none reads more entries than it may look at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg
import pytest

from mesh.events.outbox import Outbox
from mesh.stores.postgres import Postgres
from mesh.testing.audit import auditor
from svc_provenance.adapters.postgres.audit import PostgresAuditStore
from svc_provenance.adapters.postgres.dead_letters import PostgresDeadLetterStore
from svc_provenance.adapters.postgres.listing import SCAN_LIMIT
from svc_provenance.adapters.postgres.receipts import PostgresReceiptStore
from svc_provenance.app import audit, dead_letters, receipts
from svc_provenance.domain.audit import Decision
from svc_provenance.domain.dead_letters import State
from svc_provenance.domain.receipts import Form
from tests.integration.provenance.reads import Counting

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mesh.events.event import Codec
    from soma_local.testing.engines import Databases
    from tests.conftest import Database

TENANT, PAGE = "acme", 50
PARTS = 6
"""Of each part of a table, one entry is read to find the newest of all."""
_FILL = """
CREATE TEMP TABLE made AS SELECT n, CASE WHEN n % 2 = 0 THEN 'acme' ELSE 'tenant-' || n % 7 END AS tenant_id,
    now() - random() * interval '9 days' AS at FROM generate_series(1, 24000) AS n;
INSERT INTO dlq_messages (
    dlq_id, tenant_id, topic, key, event_id, event_type, detail, attempts, value, cause, state, updated_at, created_at)
SELECT uuidv7(), tenant_id, 't', n::text, n::text, 'noted', '', 1, '\\x01', 'failed', 'exhausted', at, at FROM made;
INSERT INTO audit_events
SELECT tenant_id, n, n::text, at, at, 'job.read', 'executor', 'ann', '', CASE tenant_id WHEN 'acme' THEN 'job'
    ELSE 'asset' END, n::text, 'ALLOWED', '', '', '', '', '', '', '' FROM made;
INSERT INTO receipts SELECT r.* FROM made, jsonb_populate_record(NULL::receipts, jsonb_build_object(
    'receipt_id', uuidv7(), 'tenant_id', tenant_id, 'job_id', n::text, 'form', 'compact', 'month', '1970-01-01',
    'causes', '[]'::jsonb, 'state', 'completed', 'path', 'STANDARD', 'criterion_scores', '{}'::jsonb,
    'degradation_level', 0, 'candidates', 0, 'confidence', 0, 'attempts', 0, 'fallbacks', 0, 'reworks', 0,
    'latency_ms', 0, 'provider_ms', 0, 'cost_micro_usd', 0, 'trace_digest', '', 'asset_digests', '{}'::jsonb,
    'policy_ids', '[]'::jsonb, 'trace_ids', '[]'::jsonb, 'complete', true, 'ended_at', at,
    'attempt_details', '[]'::jsonb)) AS r;
ANALYZE dlq_messages, audit_events, receipts;
"""


@pytest.fixture
async def counting(database: Database, databases: Databases) -> AsyncIterator[Counting]:
    config = await database("provenance")
    owner = await asyncpg.connect(databases.owner_dsn(config), server_settings={"search_path": "provenance"})
    await owner.execute(f"SET session_replication_role = replica; SET soma.tenant_id = '*'; {_FILL}", timeout=600)
    await owner.close()
    async with Postgres.open(config) as postgres:
        yield Counting(postgres)


async def test_a_page_reads_no_more_rows_than_it_may(counting: Counting) -> None:
    """Whatever the filters; and a page that is full reads no further."""
    no_codec: Codec = None  # type: ignore[assignment]
    of_audit, of_receipts = PostgresAuditStore(counting), PostgresReceiptStore(counting)  # type: ignore[arg-type]
    of_dead_letters = PostgresDeadLetterStore(counting, Outbox(), no_codec, auditor("provenance"))  # type: ignore[arg-type]
    for wanted, most in (
        (dead_letters.DeadLetterFilters(), PAGE),
        (dead_letters.DeadLetterFilters(state=State.EXHAUSTED), PAGE),
        (dead_letters.DeadLetterFilters(state=State.RESOLVED), SCAN_LIMIT),
    ):
        await of_dead_letters.page(TENANT, wanted, None, PAGE)
        assert 0 < counting.reads[-1] <= most + PARTS, wanted
    for entries, most in (
        (audit.AuditFilters(), PAGE),
        (audit.AuditFilters(resource_type="job"), PAGE),
        (audit.AuditFilters(resource_type="asset"), SCAN_LIMIT),
        (audit.AuditFilters(decision=Decision.DENIED), SCAN_LIMIT),
        (audit.AuditFilters(subject="ann", decision=Decision.DENIED), SCAN_LIMIT),
    ):
        await of_audit.page(TENANT, entries, 0, PAGE)
        assert 0 < counting.reads[-1] <= most + PARTS, entries
    for sought, most in ((receipts.ReceiptFilters(), PAGE), (receipts.ReceiptFilters(form=Form.FULL), SCAN_LIMIT)):
        await of_receipts.page(TENANT, sought, None, PAGE)
        assert 0 < counting.reads[-1] <= most + PARTS, sought
