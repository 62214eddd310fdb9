"""How long rows of the asset store are retained."""

from __future__ import annotations

from mesh.stores.expired_rows import delete_by_age
from mesh.stores.retention import RetentionRule

RETENTION_RULES = (
    RetentionRule("upload_requests", "requests", delete_by_age("upload_requests", "created_at")),
    # Holders are removed before their tombstone, request ids with it. Stored assets are never removed by age.
    RetentionRule(
        "multimodal_assets",
        "tombstones",
        delete_by_age(
            "multimodal_assets",
            "deleted_at",
            "status = 'tombstoned' AND bytes_erased AND holders_due_at IS NULL",
        ),
    ),
)
