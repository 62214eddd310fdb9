"""The SQL statements of the asset store. Each uses an index: `tests/integration/assets/test_plans.py` explains them."""

# ruff: noqa: S608 - inserted of constants
from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from svc_assets.domain.model import ListQuery

COLUMNS = """
a.asset_id::text AS asset_id, a.tenant_id, a.asset_type, a.format, a.media_type, a.filename, a.size_bytes, a.checksum,
a.classification, a.status, a.storage_path, a.metadata, a.parent_id, a.replaces_id, a.origin, a.created_by,
a.created_at, a.deleted_at
"""
# Triggers maintain the count `holders`. It is null, and counted here, for a row whose holders have not changed since
# the triggers exist. A tombstone has holders only until the sweep has removed them.
SELECT = f"""
SELECT {COLUMNS},
       CASE a.status WHEN 'tombstoned' THEN 0 ELSE
           coalesce(a.holders, (SELECT count(*) FROM asset_holders h WHERE h.asset_id = a.asset_id))
       END AS reference_count
FROM multimodal_assets a
"""
BY_ID = f"{SELECT} WHERE a.asset_id = $1 AND a.status IN ('ready', 'tombstoned')"
BY_ID_FOR_UPDATE = f"{BY_ID} FOR UPDATE OF a"
BY_CHECKSUM = f"{SELECT} WHERE a.tenant_id = $1 AND a.checksum = $2 AND a.status = 'ready' FOR UPDATE OF a"
BY_REQUEST = f"""
SELECT found.*, r.asset_id AS id, coalesce(nullif(r.checksum, ''), found.checksum) AS request_checksum, r.holder,
       r.holder = '' OR EXISTS (SELECT 1 FROM asset_holders h WHERE h.asset_id = r.asset_id AND h.holder = r.holder)
           AS is_held
FROM upload_requests r CROSS JOIN LATERAL ({SELECT} WHERE a.asset_id = r.asset_id) AS found
WHERE r.tenant_id = $1 AND r.request_id = $2
"""
CONTENT = """
SELECT substring(content FROM $2 + 1 FOR $3) FROM multimodal_assets WHERE asset_id = $1 AND status = 'ready'
"""
_INSERT = """
INSERT INTO multimodal_assets
    (asset_id, tenant_id, asset_type, format, media_type, filename, size_bytes, checksum, classification, storage_path,
     metadata, parent_id, replaces_id, origin, job_id, created_by, created_at, status, sweep_after, content)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)
"""
INSERT_PENDING = _INSERT
INSERT_READY = f"""
WITH inserted AS ({_INSERT} ON CONFLICT (tenant_id, checksum) WHERE status = 'ready' DO NOTHING RETURNING asset_id),
added AS (
    INSERT INTO asset_holders (tenant_id, asset_id, holder, subject)
    SELECT $2, inserted.asset_id, $21, $22 FROM inserted
)
SELECT 1 FROM inserted
"""
MARK_READY = "UPDATE multimodal_assets SET status = 'ready' WHERE asset_id = $1 AND status = 'pending' RETURNING 1"
MARK_ERASING = """
UPDATE multimodal_assets SET status = 'erasing', sweep_after = $2 WHERE asset_id = $1 AND status = 'pending'
"""
SET_CLASSIFICATION = "UPDATE multimodal_assets SET classification = $2 WHERE asset_id = $1"
ADD_HOLDER = """
INSERT INTO asset_holders (tenant_id, asset_id, holder, subject) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING RETURNING 1
"""
ADD_REQUEST = """
INSERT INTO upload_requests (tenant_id, request_id, asset_id, checksum, holder) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT DO NOTHING RETURNING 1
"""
HOLDER_SUBJECT = "SELECT subject FROM asset_holders WHERE asset_id = $1 AND holder = $2"
REMOVE_HOLDERS = "DELETE FROM asset_holders WHERE asset_id = $1 AND holder = ANY($2::text[])"
REMOVE_HOLDER_BATCH = """
DELETE FROM asset_holders WHERE asset_id = $1 AND holder = ANY (ARRAY(
    SELECT h.holder FROM asset_holders h WHERE h.asset_id = $1 ORDER BY h.holder LIMIT $2
))
"""
SET_HOLDERS_DUE = """
UPDATE multimodal_assets a
SET holders_due_at = CASE WHEN EXISTS (SELECT 1 FROM asset_holders h WHERE h.asset_id = a.asset_id)
    THEN $2::timestamptz END
WHERE a.asset_id = $1
"""
CLAIM_TOMBSTONE_WITH_HOLDERS = f"""
WITH due AS (
    SELECT asset_id FROM multimodal_assets WHERE holders_due_at <= $1
    ORDER BY holders_due_at LIMIT 1 FOR UPDATE SKIP LOCKED
)
UPDATE multimodal_assets a SET holders_due_at = $2
FROM due WHERE a.asset_id = due.asset_id RETURNING {COLUMNS}, 0 AS reference_count
"""
HAS_HOLDERS = "SELECT EXISTS (SELECT 1 FROM asset_holders WHERE asset_id = $1)"
TOMBSTONE = """
UPDATE multimodal_assets
SET status = 'tombstoned', deleted_at = $2, metadata = '{}', sweep_after = $2, content = NULL,
    bytes_erased = (storage_path = '')
WHERE asset_id = $1
"""
CLAIM_FOR_DELETION = f"""
WITH due AS (
    SELECT asset_id FROM multimodal_assets
    WHERE (status IN ('pending', 'erasing') OR (status = 'tombstoned' AND NOT bytes_erased))
      AND sweep_after <= $1
    ORDER BY sweep_after LIMIT $3 FOR UPDATE SKIP LOCKED
)
UPDATE multimodal_assets a
SET status = CASE a.status WHEN 'pending' THEN 'erasing' ELSE a.status END, sweep_after = $2
FROM due WHERE a.asset_id = due.asset_id RETURNING {COLUMNS}, 0 AS reference_count
"""
MARK_BYTES_ERASED = """
UPDATE multimodal_assets SET bytes_erased = true WHERE asset_id = $1 AND status = 'tombstoned' AND NOT bytes_erased
"""
DELETE_ERASING = "DELETE FROM multimodal_assets WHERE asset_id = $1 AND status = 'erasing'"
UNREFERENCED = """
SELECT listed.id::text FROM unnest($1::uuid[]) AS listed (id)
WHERE NOT EXISTS (
    SELECT 1 FROM multimodal_assets a
    WHERE a.asset_id = listed.id AND a.status <> 'tombstoned' AND a.storage_path <> ''
)
"""
_HELD_BY_JOB = """
a.asset_id = ANY (ARRAY(SELECT h.asset_id FROM asset_holders h WHERE h.tenant_id = $1 AND h.holder = {job}))
"""
_STORED_BY_JOB = """
a.asset_id = ANY (ARRAY(
    SELECT b.asset_id FROM multimodal_assets b WHERE b.tenant_id = $1 AND b.job_id = {job} AND b.job_id <> ''
))
"""
_HELD_OR_STORED_BY_JOB = """
a.asset_id = ANY (ARRAY(
    SELECT h.asset_id FROM asset_holders h WHERE h.tenant_id = $1 AND h.holder = {job}
    UNION SELECT b.asset_id FROM multimodal_assets b WHERE b.tenant_id = $1 AND b.job_id = {job} AND b.job_id <> ''
))
"""


def list_statement(tenant_id: str, query: ListQuery) -> tuple[str, list[object]]:
    """Returns the statement of a listing with its arguments. Each combination of filters has its own statement, so that
    the planner can choose the index.
    """
    arguments: list[object] = [tenant_id, query.limit]
    where = ["a.tenant_id = $1", "a.status = '{status}'"]
    for value, condition in (
        (query.before_id, "a.asset_id < {argument}::uuid"),
        (query.asset_type, "a.asset_type = {argument}"),
        (query.job_id, "{of_job}"),
    ):
        if value:
            arguments.append(value)
            where.append(condition.replace("{argument}", f"${len(arguments)}"))
    per_status = f"({SELECT} WHERE {' AND '.join(where)} ORDER BY a.asset_id DESC LIMIT $2)"
    job_conditions = {"ready": _HELD_BY_JOB if query.only_held else _HELD_OR_STORED_BY_JOB}
    if query.include_tombstoned and not (query.job_id and query.only_held):
        job_conditions["tombstoned"] = _STORED_BY_JOB  # it has no holds, though rows of holders may be left
    job = f"${len(arguments)}"
    union = " UNION ALL ".join(
        per_status.replace("{status}", status).replace("{of_job}", condition.replace("{job}", job))
        for status, condition in job_conditions.items()
    )
    return f"SELECT * FROM ({union}) AS found ORDER BY asset_id::uuid DESC LIMIT $2", arguments
