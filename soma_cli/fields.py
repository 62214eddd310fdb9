"""The fields that `--json` prints of jobs, their events and totals; a change of names or order breaks programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from soma_cli.messages import Fields

STEP: Fields = (
    "step_id", "step_type", "state", "depends_on", "asset_ids", "text", "capability_id", "message", "attempts",
    "quality_score", "cost_micro_usd",
)  # fmt: skip
JOB: Fields = (
    "job_id", "state", "title", ("steps", STEP), "progress", "cost_micro_usd", "message", "create_time", "start_time",
    "end_time",
)  # fmt: skip
JOB_PAGE: Fields = (("jobs", JOB), "next_page_token")
JOB_EVENT: Fields = (
    "sequence", "type", "job_id", "step_id", "message", "job_state", "step_state", "progress", "capability_id",
    "attempt", "terminal",
)  # fmt: skip
TRACE_TOTALS: Fields = (
    "attempts", "fallbacks", "reworks", "failures", "cost_micro_usd", "reserved_micro_usd", "evaluation_micro_usd",
    "provider_ms", "evaluation_ms", "queue_ms", "elapsed_ms", "policy_denials", "budget_denials", "mean_quality",
)  # fmt: skip
