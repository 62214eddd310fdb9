"""How the critic's tables are kept short: verdicts, request ids and marks of erased assets go by age."""

from __future__ import annotations

from mesh.stores.retention import Rule, old_rows

_OLD_REQUESTS = """
WITH old AS (
    SELECT tenant_id, request_id FROM rubric_requests
    WHERE created_at < $3::timestamptz AND ($1::text[] IS NULL OR tenant_id = ANY($1)) AND tenant_id <> ALL($2::text[])
        AND NOT $5
    ORDER BY created_at LIMIT $4 FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM rubric_requests AS kept USING old
    WHERE kept.tenant_id = old.tenant_id AND kept.request_id = old.request_id RETURNING 1
)
SELECT count(*) FROM gone
"""

# Verdicts that were started before an erasure are recorded long before its mark goes. An unfinished erasure stays,
# since its quotes would stay, too.
_ERASED = """
WITH old AS (
    SELECT tenant_id, asset_id FROM erased_assets
    WHERE ($1::text[] IS NULL OR tenant_id = ANY($1)) AND tenant_id <> ALL($2::text[]) AND NOT $5 AND erased_at < $3
        AND continue_at IS NULL
    ORDER BY erased_at LIMIT $4 FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM erased_assets AS e USING old WHERE e.tenant_id = old.tenant_id AND e.asset_id = old.asset_id RETURNING 1
)
SELECT count(*) FROM gone
"""

RULES = (
    Rule("evaluations", "evaluations", old_rows("evaluations", "evaluation_id", "created_at < $3::timestamptz")),
    Rule("rubric_requests", "evaluations", _OLD_REQUESTS),
    Rule("erased_assets", "evaluations", _ERASED),
)
