"""How the selector's tables are kept short: past decisions, closed reservations, accounts and requests go by age."""

from __future__ import annotations

from mesh.stores.retention import Rule, old_rows

_OLD_ACCOUNTS = """
WITH old AS (
    SELECT tenant_id, scope, period_start FROM budget_accounts
    WHERE ($1::text[] IS NULL OR tenant_id = ANY($1)) AND tenant_id <> ALL($2::text[]) AND NOT $5
        AND period_start < $3::timestamptz - interval '32 days' AND reserved_micro_usd = 0
    ORDER BY period_start LIMIT $4 FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM budget_accounts AS kept USING old
    WHERE (kept.tenant_id, kept.scope, kept.period_start) = (old.tenant_id, old.scope, old.period_start)
    RETURNING 1
)
SELECT count(*) FROM gone
"""
"""An account is old once its month ended so long ago that no reservation of it is left."""

RULES = (
    Rule("selections", "selections", old_rows("selections", "selection_id", "decided_at < $3::timestamptz")),
    # What is held still binds a budget, however old it is.
    Rule(
        "reservations",
        "selections",
        old_rows("reservations", "reservation_id", "expires_at < $3::timestamptz AND state <> 'held'"),
    ),
    Rule("budget_accounts", "selections", _OLD_ACCOUNTS),
    Rule("budget_requests", "selections", old_rows("budget_requests", "id", "true")),
)
