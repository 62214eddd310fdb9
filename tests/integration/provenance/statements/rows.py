"""A record that has grown: 200,000 rows in each table that grows with work."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncpg

ROWS = 200_000
GROWING = frozenset({"trace_facts", "receipts", "receipts_due", "asset_provenance", "dlq_messages", "audit_events"})
"""Tables that grow with work. Others have a row for each tenant or month."""

# The id that a thing made so long ago has; numbers keep them apart.
_ID = """
CREATE FUNCTION id_of(age interval, number bigint) RETURNS uuid LANGUAGE sql AS $$
    SELECT (lpad(to_hex((extract(epoch FROM now() - age) * 1000)::bigint), 12, '0')
        || '7' || lpad(to_hex(number % 4096), 3, '0') || '8' || lpad(to_hex(number), 15, '0'))::uuid
$$
"""
_MONTHS = """
SELECT soma_make_month(name, (date_trunc('month', now()) - back * interval '1 month')::date)
FROM unnest(ARRAY['trace_facts', 'receipts', 'audit_events']) AS name, generate_series(0, 5) AS back
"""
_JOBS = """
CREATE TEMP TABLE jobs AS
SELECT 'tenant-' || n % 40 AS tenant_id, id_of((n % 120) * interval '1 day', n)::text AS job_id,
    now() - (n % 120) * interval '1 day' AS at, n
FROM generate_series(1, {rows}) AS n
"""
_FACTS = """
INSERT INTO trace_facts (tenant_id, job_id, month, kind, fact_id, occurred_at, summary, document)
SELECT tenant_id, job_id, soma_month_of(job_id), kind, job_id || kind, at, '{{}}', '\\x01'
FROM jobs, unnest(ARRAY['selection', 'execution', 'evaluation', 'asset', 'job']) AS kind WHERE n <= {rows} / 5
"""
_RECEIPTS = """
INSERT INTO receipts (
    receipt_id, tenant_id, job_id, month, form, causes, state, path, criterion_scores, degradation_level, candidates,
    confidence, attempts, fallbacks, reworks, latency_ms, provider_ms, cost_micro_usd, trace_digest, asset_digests,
    policy_ids, trace_ids, complete, ended_at, attempt_details)
SELECT id_of(interval '1 hour', n), tenant_id, job_id, soma_month_of(job_id), 'compact', '{{}}', 'completed',
    'STANDARD', '{{}}', 0, 1, 1, 1, 0, 0, 1, 1, 1, '', '{{}}', '{{}}', '{{}}', true, at, '[]'
FROM jobs
"""
_DUE = """
INSERT INTO receipts_due (tenant_id, job_id, not_before)
SELECT tenant_id, job_id, now() + (n % 3000 - 3) * interval '1 second' FROM jobs
"""
_PROVENANCE = """
INSERT INTO asset_provenance (asset_id, tenant_id, asset_type, execution_id, parent_ids, generation_params, deleted_at)
SELECT id_of((n % 120) * interval '1 day', n), tenant_id, CASE WHEN n % 1000 > 0 THEN 'image' END, n::text,
    ARRAY[id_of(((n + 1) % 120) * interval '1 day', n + 1)::text], CASE WHEN n % 200 > 0 THEN '{{}}'::jsonb END,
    CASE WHEN n % 100 = 0 THEN at END
FROM jobs
"""
_LETTERS = """
INSERT INTO dlq_messages (
    dlq_id, tenant_id, topic, key, event_id, event_type, detail, attempts, value, cause, state, updated_at, requeue_at,
    news, followed, created_at)
SELECT id_of((n % 120) * interval '1 day', n), tenant_id, 'executor.events', n::text, n::text, 'noted', '', 1, '\\x01',
    'failed',
    CASE WHEN n % 2000 = 0 THEN 'waiting' WHEN n % 100 = 0 THEN 'exhausted' WHEN n % 3 = 0 THEN 'discarded'
        ELSE 'resolved' END,
    at, CASE WHEN n % 2000 = 0 THEN at END, 2, CASE WHEN n % 5000 = 0 THEN 1 ELSE 2 END, at
FROM jobs
"""
_AUDIT = """
INSERT INTO audit_events (
    tenant_id, sequence, audit_id, occurred_at, recorded_at, action, context, subject, actor, resource_type,
    resource_id, decision, policy_id, before_digest, after_digest, trace_id, reason, previous_digest, digest)
SELECT 'tenant-' || n % 40, n / 40 + 1, n::text, at, at,
    CASE WHEN n % 101 = 0 THEN 'job.create' ELSE 'selection.create' END, 'executor', 'subject-' || n % 1000, '', 'job',
    job_id, 'ALLOWED', '', '', '', '', '', '\\x00', '\\x01'
FROM (SELECT n, job_id, now() - (1 - n::float / {rows}) * interval '100 days' AS at FROM jobs) AS jobs
"""
_HEADS = """
INSERT INTO audit_heads SELECT tenant_id, max(sequence), '\\x01', max(recorded_at) FROM audit_events GROUP BY tenant_id
"""


async def grow(owner: asyncpg.Connection, rows: int = ROWS) -> None:
    """Fills the tables of the record and lets the planner count them; triggers stay silent."""
    await owner.execute("SET soma.tenant_id = '*'; SET session_replication_role = replica")
    for statement in (
        _ID, _MONTHS, _JOBS, _FACTS, _RECEIPTS, _DUE, _PROVENANCE, _LETTERS, _AUDIT, _HEADS,
    ):  # fmt: skip
        await owner.execute(statement.format(rows=rows))
    await owner.execute(f"ANALYZE {', '.join(sorted(GROWING))}")
