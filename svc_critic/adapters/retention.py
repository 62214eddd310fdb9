"""How the critic's tables are kept short: verdicts go by age."""

from __future__ import annotations

from mesh.stores.retention import Rule, old_rows

RULES = (Rule("evaluations", "evaluations", old_rows("evaluations", "evaluation_id", "created_at < $3::timestamptz")),)
