"""Request ids, which make repeated requests harmless, go by age; keys and tenants stay."""

from __future__ import annotations

from mesh.stores.retention import Rule

_OLD_UPDATES = """
WITH old AS (
    SELECT request_id FROM tenant_updates
    WHERE created_at < $3::timestamptz AND ($1::text[] IS NULL OR tenant_id = ANY($1)) AND tenant_id <> ALL($2::text[])
        AND NOT $5
    ORDER BY created_at LIMIT $4 FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM tenant_updates AS kept USING old WHERE kept.request_id = old.request_id RETURNING 1
)
SELECT count(*) FROM gone
"""
_OLD_IDS = """
WITH old AS (
    SELECT {key} FROM {table}
    WHERE request_id IS NOT NULL AND created_at < $3::timestamptz
        AND ($1::text[] IS NULL OR tenant_id = ANY($1)) AND tenant_id <> ALL($2::text[]) AND NOT $5
    ORDER BY created_at LIMIT $4 FOR UPDATE SKIP LOCKED
), gone AS (
    UPDATE {table} AS kept SET request_id = NULL FROM old WHERE kept.{key} = old.{key} RETURNING 1
)
SELECT count(*) FROM gone
"""

RULES = (
    Rule("tenant_updates", "requests", _OLD_UPDATES),
    Rule("api_keys", "requests", _OLD_IDS.format(table="api_keys", key="key_id")),
    Rule("tenants", "requests", _OLD_IDS.format(table="tenants", key="tenant_id")),
)
