"""Retention of the registry's tables: ids of requests and deleted capabilities of tenants are deleted by age."""

from __future__ import annotations

from mesh.stores.expired_rows import delete_by_age
from mesh.stores.retention import RetentionRule

DELETE_REQUESTS = delete_by_age("registrations", "created_at")
# Records of what the platform deleted stay: the service that registers it at every start would register it again.
DELETE_CAPABILITIES = delete_by_age(
    "multimodal_capabilities",
    "deleted_at",
    "deleted_at IS NOT NULL AND tenant_id <> ''",
)

RETENTION_RULES = (
    RetentionRule("registrations", "records", DELETE_REQUESTS),
    RetentionRule("multimodal_capabilities", "records", DELETE_CAPABILITIES),
)
