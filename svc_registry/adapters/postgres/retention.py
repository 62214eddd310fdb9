"""How the registry's tables are kept short: ids of requests and deleted capabilities of tenants go by age."""

from __future__ import annotations

from mesh.stores.retention import Rule
from svc_registry.adapters.postgres.statements import OLD_CAPABILITIES, OLD_REQUESTS

RULES = (
    Rule("registrations", "records", OLD_REQUESTS),
    Rule("multimodal_capabilities", "records", OLD_CAPABILITIES),
)
