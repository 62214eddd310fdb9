"""How the executor's tables are kept short: a job that ended goes whole, with its steps, attempts and timeline."""

from __future__ import annotations

from mesh.stores.expired_rows import delete_by_age
from mesh.stores.retention import RetentionRule

# How many rows go with a job follows from the number of its steps: jobs go until $4 steps or more go with them.
_JOBS = """
WITH oldest AS (
    SELECT id, ended_at, steps_total FROM multimodal_job_plans
    WHERE ($1::text[] IS NULL OR tenant_id = ANY($1)) AND tenant_id <> ALL($2::text[]) AND NOT $5
        AND ended_at < $3 AND status IN ('COMPLETED', 'PARTIAL', 'FAILED', 'CANCELLED')
    ORDER BY ended_at LIMIT $4 FOR UPDATE SKIP LOCKED
), counted AS (
    SELECT id, coalesce(sum(greatest(steps_total, 1)) OVER (
        ORDER BY ended_at, id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS steps_before
    FROM oldest
), gone AS (
    DELETE FROM multimodal_job_plans
    WHERE id = ANY(ARRAY(SELECT id FROM counted WHERE steps_before < $4)) RETURNING 1
)
SELECT count(*) FROM gone
"""

RETENTION_RULES = (
    RetentionRule("multimodal_job_plans", "jobs", _JOBS),
    # Attempts started before an erasure have ended long before. An unfinished erasure stays: its texts would, too.
    RetentionRule(
        "erased_assets",
        "jobs",
        delete_by_age("erased_assets", "erased_at", "continue_at IS NULL"),
    ),
    # Parts that no job is left in; the schema lets only empty ones go.
    RetentionRule("multimodal_executions", "jobs", partitioned=True),
)
