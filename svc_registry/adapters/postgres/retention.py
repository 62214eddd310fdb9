"""How the registry's tables are kept short: ids of requests and deleted capabilities of tenants go by age."""

from __future__ import annotations

from mesh.stores.expired_rows import delete_by_age
from mesh.stores.retention import Rule

OLD_REQUESTS = delete_by_age("registrations", ("tenant_id", "request_id"), "created_at")
# What the platform deleted is remembered: a service that ships with it would register it again.
OLD_CAPABILITIES = delete_by_age(
    "multimodal_capabilities",
    ("tenant_id", "tool_id", "provider"),
    "deleted_at",
    "deleted_at IS NOT NULL AND tenant_id <> ''",
)

RULES = (
    Rule("registrations", "records", OLD_REQUESTS),
    Rule("multimodal_capabilities", "records", OLD_CAPABILITIES),
)
