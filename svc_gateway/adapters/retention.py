"""Request ids, which make repeated requests harmless, go by age; keys and tenants stay."""

from __future__ import annotations

from mesh.stores.expired_rows import clear_by_age, delete_by_age
from mesh.stores.retention import Rule


def _requests_of(table: str, key: str) -> Rule:
    return Rule(table, "requests", clear_by_age(table, (key,), "created_at", "request_id", "request_id IS NOT NULL"))


RULES = (
    Rule("tenant_updates", "requests", delete_by_age("tenant_updates", ("request_id",), "created_at")),
    _requests_of("api_keys", "key_id"),
    _requests_of("tenants", "tenant_id"),
)
