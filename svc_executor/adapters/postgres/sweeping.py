"""The statements of sweeps: each reads a bounded number of rows through an index of what is still open."""

from __future__ import annotations

FIRST_ID = "00000000-0000-0000-0000-000000000000"
LAST_ID = "ffffffff-ffff-ffff-ffff-ffffffffffff"

RUNNING = """
SELECT id, tenant_id, run FROM multimodal_job_plans WHERE status = 'RUNNING' AND id > $1 ORDER BY id LIMIT $2
"""

LEFT_CALLS = """
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
