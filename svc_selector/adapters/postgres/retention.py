"""Retention by age of past decisions, closed reservations, budget accounts and answers to requests."""

from __future__ import annotations

from mesh.stores.expired_rows import delete_by_age, delete_by_id
from mesh.stores.retention import RetentionRule

RETENTION_RULES = (
    RetentionRule(
        "selections", "selections", delete_by_id("selections", "selection_id", "decided_at < $3::timestamptz")
    ),
    # An open reservation counts against a budget however old it is.
    RetentionRule(
        "reservations",
        "selections",
        delete_by_id("reservations", "reservation_id", "expires_at < $3::timestamptz AND state <> 'held'"),
    ),
    # An account is deleted only after every reservation of its month was.
    RetentionRule(
        "budget_accounts",
        "selections",
        delete_by_age(
            "budget_accounts",
            "period_start",
            "period_start < $3::timestamptz - interval '32 days' AND reserved_micro_usd = 0",
        ),
    ),
    RetentionRule("budget_requests", "selections", delete_by_id("budget_requests", "id", "true")),
)
