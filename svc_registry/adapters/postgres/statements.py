"""The SQL statements of the registry. Each reads its rows by an index, whatever the size of the tables."""

from __future__ import annotations

from svc_registry.adapters.postgres.rows import COLUMNS

SELECT_CAPABILITIES = f"""
SELECT {COLUMNS} FROM multimodal_capabilities
WHERE (tenant_id, tool_id, provider) > ($1, $2, $3)
ORDER BY tenant_id, tool_id, provider LIMIT $4
"""  # noqa: S608 - names of columns
SELECT_CAPABILITY = f"""
SELECT {COLUMNS} FROM multimodal_capabilities WHERE tenant_id = $1 AND tool_id = $2 AND provider = $3
"""  # noqa: S608
SELECT_CAPABILITY_FOR_UPDATE = f"{SELECT_CAPABILITY} FOR UPDATE"
INSERT_CAPABILITY = """
INSERT INTO multimodal_capabilities
    (tenant_id, tool_id, provider, version, modalities, input_schema, output_schema, constraints, cost_tier, document,
     created_at, updated_at, deleted_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
ON CONFLICT DO NOTHING
RETURNING 1
"""
UPDATE_CAPABILITY = """
UPDATE multimodal_capabilities
SET version = $4, modalities = $5, input_schema = $6, output_schema = $7, constraints = $8, cost_tier = $9,
    document = $10, created_at = $11, updated_at = $12, deleted_at = $13
WHERE tenant_id = $1 AND tool_id = $2 AND provider = $3 AND version = $14
RETURNING 1
"""
UPDATE_HEALTH = """
UPDATE multimodal_capabilities
SET health_status = $4, health_failures = $5, health_checked_at = $6, health_reason = $7, circuit_open = $8,
    health_version = $9, open_circuits = $10
WHERE tenant_id = $1 AND tool_id = $2 AND provider = $3
"""
LOCK_TENANT = "SELECT pg_advisory_xact_lock(hashtext($1), hashtext($2))"
COUNT_CAPABILITIES = """
SELECT count(*) FILTER (WHERE deleted_at IS NULL) AS live, count(*) AS records
FROM multimodal_capabilities WHERE tenant_id = $1
"""
SELECT_LADDERS = """
SELECT * FROM ladders WHERE (tenant_id, modality, task_type) > ($1, $2, $3)
ORDER BY tenant_id, modality, task_type LIMIT $4
"""
SELECT_LADDER = "SELECT * FROM ladders WHERE tenant_id = $1 AND modality = $2 AND task_type = $3"
SELECT_LADDER_FOR_UPDATE = f"{SELECT_LADDER} FOR UPDATE"
INSERT_LADDER = """
INSERT INTO ladders (tenant_id, modality, task_type, capability_ids, version, updated_by, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT DO NOTHING
RETURNING 1
"""
UPDATE_LADDER = """
UPDATE ladders SET capability_ids = $4, version = $5, updated_by = $6, updated_at = $7
WHERE tenant_id = $1 AND modality = $2 AND task_type = $3 AND version = $8
RETURNING 1
"""
COUNT_LADDERS = "SELECT count(*) FROM ladders WHERE tenant_id = $1"
