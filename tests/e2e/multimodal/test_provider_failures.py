"""Providers that fail: the ladder is walked, and the end of it is a structured error with every attempt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.e2e.jobs import run_job

if TYPE_CHECKING:
    import httpx


def broken(api: httpx.Client, task_type: str) -> str:
    """Registers a capability at an address where nothing answers, alone on its task type."""
    capability = {
        "tool_id": f"broken_{task_type}",
        "provider": "nowhere",
        "adapter": "openai_chat",
        "kind": "CAPABILITY_KIND_MODEL",
        "modalities": ["MODALITY_TEXT"],
        "task_types": [task_type],
        "model": "none",
        "endpoint": "http://127.0.0.1:1/v1",
    }
    answer = api.post("/v1/multimodal/capabilities", json=capability)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["capability_id"])


def plan(task_type: str, on_failure: str = "FAIL_JOB") -> dict[str, object]:
    task = {
        "task_id": "words",
        "step_type": "generate_text",
        "task_type": task_type,
        "params": {"prompt": "say something"},
        "on_failure": on_failure,
    }
    return {"version": "1.0", "tasks": [task]}


def test_provider_failure_error(api: httpx.Client) -> None:
    capability_id = broken(api, "failing_text")
    job = run_job(api, plan("failing_text"))
    assert job["state"] == "JOB_STATE_FAILED"
    described = api.get(f"/v1/multimodal/jobs/{job['job_id']}/describe").json()
    errors = [execution["error_code"] for execution in described["executions"]]
    assert errors
    assert set(errors) == {"UNAVAILABLE"}
    assert "words" in job["message"]
    trace = api.get(f"/v1/traces/{job['job_id']}").json()
    assert capability_id in trace["steps"][0]["story"]


def test_a_step_that_may_fail_leaves_the_job_partial(api: httpx.Client) -> None:
    broken(api, "skippable_text")
    job = run_job(api, plan("skippable_text", on_failure="SKIP"))
    assert job["state"] == "JOB_STATE_PARTIAL"


def test_a_task_type_nobody_serves_says_so(api: httpx.Client) -> None:
    job = run_job(api, plan("unknown_text"))
    assert job["state"] == "JOB_STATE_FAILED"
    assert "no capability serves text/unknown_text" in job["steps"][0]["message"]
