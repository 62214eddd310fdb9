"""Quality gates: what falls short is sent back with feedback that the producer acts on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.e2e.jobs import run_job

if TYPE_CHECKING:
    import httpx


def chart(scale: float, *, gate: bool) -> dict[str, object]:
    task = {
        "task_id": "chart",
        "step_type": "generate_diagram",
        "task_type": "chart",
        "params": {
            "scale": scale,
            "chart": {
                "kind": "bar",
                "title": "Orders by quarter",
                "x_label": "Quarter",
                "y_label": "Orders",
                "series": [{"name": "Orders", "x": ["Q1", "Q2", "Q3", "Q4"], "y": [12, 18, 25, 31]}],
            },
        },
        "quality_gate": {"enabled": gate},
    }
    return {"version": "1.0", "tasks": [task]}


def test_diagram_quality_rework(api: httpx.Client) -> None:
    job = run_job(api, chart(0.25, gate=True))
    executions = api.get(f"/v1/multimodal/jobs/{job['job_id']}/describe").json()["executions"]
    assert job["state"] == "JOB_STATE_COMPLETED"
    assert [item["status"] for item in executions] == ["EXECUTION_STATUS_REJECTED", "EXECUTION_STATUS_SUCCEEDED"]
    assert "RESOLUTION_TOO_LOW" in executions[1]["rework_reason"]
    assert executions[1]["quality_score"] > executions[0]["quality_score"]


def test_a_gate_that_is_off_lets_everything_pass(api: httpx.Client) -> None:
    job = run_job(api, chart(0.25, gate=False))
    assert (job["state"], job["steps"][0]["attempts"]) == ("JOB_STATE_COMPLETED", 1)
    assert "quality_score" not in job["steps"][0]


def test_a_good_diagram_passes_at_once(api: httpx.Client) -> None:
    job = run_job(api, chart(1.5, gate=True))
    assert (job["state"], job["steps"][0]["attempts"]) == ("JOB_STATE_COMPLETED", 1)
