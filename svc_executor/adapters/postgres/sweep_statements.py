"""The statements of sweeps: each reads a bounded number of rows through an index of what is still open."""

from __future__ import annotations

FIRST_ID = "00000000-0000-0000-0000-000000000000"
LAST_ID = "ffffffff-ffff-ffff-ffff-ffffffffffff"

RUNNING = """
SELECT id, tenant_id, run FROM multimodal_job_plans WHERE status = 'RUNNING' AND id > $1 ORDER BY id LIMIT $2
"""

ORPHANED_CALLS = """
SELECT c.* FROM provider_calls c
WHERE c.started_at < $1 AND NOT EXISTS (
    SELECT FROM multimodal_executions e
    WHERE e.id = c.execution_id AND e.month = soma_month_of(c.plan_id::text) AND e.status = 'RUNNING'
)
ORDER BY c.started_at LIMIT $2
"""

CLAIM_COMPENSATIONS = """
WITH due AS (
    SELECT c.plan_id, c.run, c.position FROM compensations c JOIN multimodal_job_plans p ON p.id = c.plan_id
    WHERE NOT c.done AND c.updated_at < $1 AND p.run = c.run AND p.ended_at IS NOT NULL
    ORDER BY c.updated_at LIMIT $3 FOR UPDATE OF c SKIP LOCKED
)
UPDATE compensations AS c SET updated_at = $2 FROM due
WHERE c.plan_id = due.plan_id AND c.run = due.run AND c.position = due.position
RETURNING c.*
"""

OPEN_COMPENSATIONS = "SELECT count(*) FROM (SELECT FROM compensations WHERE NOT done LIMIT $1) AS open"

# Jobs that run count whatever their age: one that was resumed is older than many that run.
NEXT_TO_START = """
SELECT id, run FROM multimodal_job_plans WHERE tenant_id = $1 AND status = 'PENDING' ORDER BY id LIMIT $2 - (
    SELECT count(*) FROM (
        SELECT FROM multimodal_job_plans WHERE tenant_id = $1 AND status = 'RUNNING' LIMIT $2
    ) AS running
)
"""

HAS_OPEN = """
SELECT true FROM (
    (SELECT FROM multimodal_job_plans WHERE tenant_id = $1 AND status = 'PENDING' LIMIT $2 + 1)
    UNION ALL
    (SELECT FROM multimodal_job_plans WHERE tenant_id = $1 AND status = 'RUNNING' LIMIT $2 + 1)
) AS open OFFSET $2 LIMIT 1
"""

# One step through the index for each tenant that has waiting jobs, and no more.
WAITING_TENANTS = """
WITH RECURSIVE waiting (tenant_id, created_at) AS (
    (SELECT tenant_id, created_at FROM multimodal_job_plans
     WHERE status = 'PENDING' AND tenant_id > $1 ORDER BY tenant_id, id LIMIT 1)
    UNION ALL
    SELECT found.tenant_id, found.created_at FROM waiting, LATERAL (
        SELECT p.tenant_id, p.created_at FROM multimodal_job_plans p
        WHERE p.status = 'PENDING' AND p.tenant_id > waiting.tenant_id ORDER BY p.tenant_id, p.id LIMIT 1
    ) AS found
)
SELECT tenant_id FROM waiting WHERE created_at < $2 LIMIT $3
"""
