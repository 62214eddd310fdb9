"""Retention: request ids, by which repeated requests are recognized, are deleted by age; keys and tenants stay."""

from __future__ import annotations

from mesh.stores.expired_rows import clear_by_age, delete_by_age
from mesh.stores.retention import Rule


def _clear_request_ids(table: str) -> Rule:
    return Rule(table, "requests", clear_by_age(table, "created_at", "request_id", "request_id IS NOT NULL"))


RULES = (
    Rule("tenant_updates", "requests", delete_by_age("tenant_updates", "created_at")),
    _clear_request_ids("api_keys"),
    _clear_request_ids("tenants"),
)
