"""How the tables of the asset store are kept short."""

from __future__ import annotations

from mesh.stores.retention import Rule

_REQUESTS = """
WITH old AS (
    SELECT ctid AS place FROM upload_requests
    WHERE ($1::text[] IS NULL OR tenant_id = ANY($1)) AND tenant_id <> ALL($2::text[]) AND NOT $5 AND created_at < $3
    ORDER BY created_at LIMIT $4 FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM upload_requests WHERE ctid = ANY(ARRAY(SELECT place FROM old)) RETURNING 1
)
SELECT count(*) FROM gone
"""
# Holders go before their tombstone, request ids with it. Assets that are there are never removed by age.
_TOMBSTONES = """
WITH old AS (
    SELECT asset_id FROM multimodal_assets
    WHERE ($1::text[] IS NULL OR tenant_id = ANY($1)) AND tenant_id <> ALL($2::text[]) AND NOT $5
        AND status = 'tombstoned' AND bytes_erased AND holders_due_at IS NULL AND deleted_at < $3
    ORDER BY deleted_at LIMIT $4 FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM multimodal_assets AS a USING old WHERE a.asset_id = old.asset_id RETURNING 1
)
SELECT count(*) FROM gone
"""

RULES = (Rule("upload_requests", "requests", _REQUESTS), Rule("multimodal_assets", "tombstones", _TOMBSTONES))
