"""What an edge answers to commands that print tables, and how tests read what is printed."""

from __future__ import annotations

import json
from pathlib import Path

from google.protobuf.json_format import ParseDict

from soma.executor.v1.job_pb2 import Job
from soma.executor.v1.job_service_pb2 import ListJobsResponse

TRACES = Path(__file__).parents[1] / "provenance" / "golden"
TOO_SMALL = "the picture is 640 pixels wide, 1200 are needed"
ID = "01890000-0000-7000-8000-000000000001"
JOB = {
    "job_id": ID, "state": "JOB_STATE_PARTIAL", "progress": 1.0, "cost_micro_usd": "39500",
    "title": "ISO 29148 SRS for a sign-in feature",
    "steps": [{
        "step_id": "architecture", "step_type": "capture_screenshot", "state": "STEP_STATE_FAILED", "attempts": 2,
        "capability_id": "playwright_screenshot@local", "quality_score": 0.4, "cost_micro_usd": "39500",
        "message": TOO_SMALL,
    }],
}  # fmt: skip
ATTEMPT = {
    "step_id": "architecture", "attempt": 1, "capability_id": "playwright_screenshot@local", "latency_ms": "12100",
    "status": "EXECUTION_STATUS_SUCCEEDED", "error_code": "DEADLINE_EXCEEDED", "cost_micro_usd": "39500",
}  # fmt: skip
RECEIPT = {
    "receipt_id": ID, "job_id": ID, "form": "RECEIPT_FORM_COMPACT", "state": "completed", "observed_quality": 0.91,
    "causes": ["RECEIPT_CAUSE_TOOL_FAILED", "RECEIPT_CAUSE_LOW_QUALITY"], "cost_micro_usd": "39500", "attempts": 12,
    "latency_ms": "12100", "end_time": "2026-11-20T10:00:00Z", "attempt_details": [ATTEMPT],
}  # fmt: skip
AUDIT_EVENT = {
    "audit_id": ID, "sequence": "48211", "occur_time": "2026-11-20T10:00:00Z",
    "record": {
        "action": "capability.register", "subject": ID, "resource_type": "capability", "resource_id": ID,
        "decision": "AUDIT_DECISION_ALLOWED", "reason": "the tenant's own capability, of its own namespace",
    },
}  # fmt: skip
LETTER = {
    "dlq_id": ID, "state": "DEAD_LETTER_STATE_EXHAUSTED", "group": "provenance-facts", "requeues": 3,
    "event_type": "soma.executor.v1.AttemptFinished", "cause": "DEAD_LETTER_CAUSE_MALFORMED",
    "create_time": "2026-11-20T10:00:00Z",
}  # fmt: skip
ANSWERS = {
    f"/v1/admin/receipts/{ID}": RECEIPT,
    "/v1/admin/receipts": {"receipts": [RECEIPT]},
    "/v1/admin/audit": {"audit_events": [AUDIT_EVENT]},
    "/v1/admin/dlq": {"dead_letters": [LETTER]},
}


class Edge:
    """Answers with one of everything."""

    def get_json(self, path: str) -> str:
        return json.dumps(ANSWERS[path.partition("?")[0]])

    def get_job(self, _: str) -> Job:
        return ParseDict(JOB, Job())

    def list_jobs(self, **_: object) -> ListJobsResponse:
        return ParseDict({"jobs": [JOB]}, ListJobsResponse())


def body(shown: str) -> list[str]:
    """The lines of cells of tables, without their heads and frames."""
    return [line for line in shown.splitlines() if line.startswith("│")]


def rows(shown: str) -> list[dict[str, str]]:
    """The only table of a text: its rows in their order, each with the columns in their order."""
    [heads] = [_cells(line, "┃") for line in shown.splitlines() if line.startswith("┃")]
    return [dict(zip(heads, _cells(line, "│"), strict=True)) for line in body(shown)]


def _cells(line: str, edge: str) -> list[str]:
    return [cell.strip() for cell in line.strip(edge).split(edge)]
