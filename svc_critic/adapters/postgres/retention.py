"""How long rows of the critic are retained: evaluations, request ids and marks of erased assets, by age."""

from __future__ import annotations

from mesh.stores.expired_rows import delete_by_age, delete_by_id
from mesh.stores.retention import RetentionRule

RETENTION_RULES = (
    RetentionRule(
        "evaluations", "evaluations", delete_by_id("evaluations", "evaluation_id", "created_at < $3::timestamptz")
    ),
    RetentionRule(
        "rubric_requests",
        "evaluations",
        delete_by_age("rubric_requests", "created_at"),
    ),
    # Evaluations that were started before an erasure are inserted long before its mark expires. The mark of an
    # unfinished erasure stays, since evaluations still have quotes of the asset.
    RetentionRule(
        "erased_assets",
        "evaluations",
        delete_by_age("erased_assets", "erased_at", "continue_at IS NULL"),
    ),
)
