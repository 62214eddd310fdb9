"""A job that ended leaves a receipt, over REST and on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mesh.clock import SystemClock
from tests.e2e.jobs import run_job

if TYPE_CHECKING:
    import httpx

    from tests.e2e.conftest import RunningMesh

HELLO = Path(__file__).parents[2] / "examples" / "hello_job.json"
WAIT_S = 30.0


def receipt_of(api: httpx.Client, job_id: str) -> dict[str, Any]:
    """The receipt of a job, once it has been written."""
    deadline = SystemClock().monotonic() + WAIT_S
    while True:
        answer = api.get(f"/v1/admin/receipts/{job_id}")
        if answer.status_code == 200:
            found: dict[str, Any] = answer.json()
            return found
        assert answer.status_code == 404, answer.text
        assert SystemClock().monotonic() < deadline, "no receipt was written"


def test_a_job_has_a_receipt_in_the_list_and_by_either_id(api: httpx.Client) -> None:
    job = run_job(api, json.loads(HELLO.read_text()))
    receipt = receipt_of(api, job["job_id"])
    assert (receipt["job_id"], receipt["state"], receipt["path"]) == (job["job_id"], "completed", "STANDARD")
    assert receipt["complete"]
    assert int(receipt["attempts"]) >= 1
    assert int(receipt["candidates"]) >= 1
    assert len(receipt["trace_digest"]) == 64
    assert set(receipt["asset_digests"]) == {id_ for step in job["steps"] for id_ in step["asset_ids"]}
    assert job["trace_id"] in receipt["trace_ids"]
    assert api.get(f"/v1/admin/receipts/{receipt['receipt_id']}").json() == receipt
    listed = api.get("/v1/admin/receipts", params={"page_size": 500}).json()["receipts"]
    assert receipt["receipt_id"] in {item["receipt_id"] for item in listed}


def test_the_command_line_lists_and_shows_receipts(api: httpx.Client, mesh: RunningMesh) -> None:
    job = run_job(api, json.loads(HELLO.read_text()))
    receipt = receipt_of(api, job["job_id"])
    shown = mesh.soma("receipt", "show", job["job_id"], "--json")
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout) == receipt
    listed = mesh.soma("receipt", "list", "--limit", "500")
    assert listed.returncode == 0, listed.stderr


def test_retention_is_read_and_set_and_what_is_wrong_is_named(api: httpx.Client) -> None:
    before = api.get("/v1/admin/retention").json()
    assert int(before["audit_days"]) >= 90
    days = {"receipts_days": 100, "traces_days": 50, "audit_days": 400, "dead_letters_days": 20}
    answer = api.put("/v1/admin/retention", json=days)
    assert answer.status_code == 200, answer.text
    assert {name: int(answer.json()[name]) for name in days} == days
    assert api.get("/v1/admin/retention").json() == answer.json()
    refused = api.put("/v1/admin/retention", json={**days, "audit_days": 1})
    assert refused.status_code == 400
    assert "audit_days" in refused.text
