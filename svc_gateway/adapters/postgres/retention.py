"""Retention: request ids, by which repeated requests are recognized, are deleted by age; keys and tenants stay."""

from __future__ import annotations

from mesh.stores.expired_rows import clear_by_age, delete_by_age
from mesh.stores.retention import RetentionRule


def _clear_request_ids(table: str) -> RetentionRule:
    return RetentionRule(table, "requests", clear_by_age(table, "created_at", "request_id", "request_id IS NOT NULL"))


RETENTION_RULES = (
    RetentionRule("tenant_updates", "requests", delete_by_age("tenant_updates", "created_at")),
    _clear_request_ids("api_keys"),
    _clear_request_ids("tenants"),
)
