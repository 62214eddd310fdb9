"""How the selector's tables are kept short: past decisions, closed reservations, accounts and requests go by age."""

from __future__ import annotations

from mesh.stores.expired_rows import delete_by_age, delete_by_id
from mesh.stores.retention import Rule

RULES = (
    Rule("selections", "selections", delete_by_id("selections", "selection_id", "decided_at < $3::timestamptz")),
    # What is held still binds a budget, however old it is.
    Rule(
        "reservations",
        "selections",
        delete_by_id("reservations", "reservation_id", "expires_at < $3::timestamptz AND state <> 'held'"),
    ),
    # Old once its month ended so long ago that no reservation of it is left.
    Rule(
        "budget_accounts",
        "selections",
        delete_by_age(
            "budget_accounts",
            "period_start",
            "period_start < $3::timestamptz - interval '32 days' AND reserved_micro_usd = 0",
        ),
    ),
    Rule("budget_requests", "selections", delete_by_id("budget_requests", "id", "true")),
)
