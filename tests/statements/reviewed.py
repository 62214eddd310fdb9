"""Statements that read more than their key names, each with the reason why that does not grow without bound."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

REVIEWED: Mapping[str, str] = {
    "SELECT h.tenant_id, h.sequence, h.digest FROM audit_heads h LEFT JOIN audit_anchored a": (
        "one row a tenant, joined once a pass by the one member that makes anchors"
    ),
    "SELECT DISTINCT ON (tenant_id) tenant_id, sequence, digest FROM audit_events WHERE recorded_at >=": (
        "the entries of one month, read once before the month is dropped"
    ),
    "SELECT * FROM retention_terms": "one row for each tenant that has terms of its own, read once a day",
    "SELECT 1 FROM nothing": "a rule that a test of retention makes",
}
"""By how the statement begins, its white space folded."""


def is_reviewed(statement: str) -> bool:
    """Whether a statement is among them."""
    return " ".join(statement.split()).startswith(tuple(REVIEWED))
