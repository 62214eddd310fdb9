"""Statements that read more than their key names, each with the reason why that does not grow without bound."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

REVIEWED: Mapping[str, str] = {
    "SELECT * FROM retention_terms": (
        "a short row for each tenant that has terms of its own; read once a day, since all of them decide what goes"
    ),
    "SELECT 1 FROM nothing": "a rule that a test of retention makes",
    "SELECT count(*) FILTER (WHERE deleted_at IS NULL) AS live, count(*) AS records FROM multimodal_capabilities": (
        "capabilities of a tenant, of which its quota bounds the number, deleted ones included"
    ),
    "SELECT count(*) FROM ladders WHERE tenant_id = $1": "ladders of a tenant, of which its quota bounds the number",
    "SELECT s.scope, coalesce(b.limit_micro_usd, $3) AS limit_micro_usd": (
        "budgets of a tenant: one for each modality and one for everything together"
    ),
    "SELECT h.tenant_id, h.sequence, h.digest FROM audit_heads h LEFT JOIN LATERAL": (
        "audit chains that went on since their last anchor, a row for each tenant, of which the oldest go first"
    ),
    "SELECT key_id, expires_at FROM api_keys WHERE revoked_at": (
        "keys that were revoked before they expired, all of which every member has to refuse; read whole only at start"
    ),
}
"""By how the statement begins, its white space folded."""


def is_reviewed(statement: str) -> bool:
    """Whether a statement is among them."""
    return " ".join(statement.split()).startswith(tuple(REVIEWED))
