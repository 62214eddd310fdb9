"""A change made through the edge is in the audit chain, which is whole."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mesh.clock import SystemClock

if TYPE_CHECKING:
    import httpx

    from tests.e2e.conftest import RunningMesh

SCRIPT = Path(__file__).parents[2] / "examples" / "verify_audit.py"
WAIT_S = 30.0


def audited(api: httpx.Client, **filters: str) -> dict[str, Any]:
    """The newest entry that fits, once there is one."""
    deadline = SystemClock().monotonic() + WAIT_S
    while True:
        answer = api.get("/v1/admin/audit", params=filters)
        assert answer.status_code == 200, answer.text
        if events := answer.json().get("audit_events"):
            found: dict[str, Any] = events[0]
            return found
        assert SystemClock().monotonic() < deadline, "the change was not audited"


def set_retention(api: httpx.Client) -> None:
    days = {"receipts_days": 101, "traces_days": 51, "audit_days": 401, "dead_letters_days": 21}
    answer = api.put("/v1/admin/retention", json=days)
    assert answer.status_code == 200, answer.text


def test_a_change_is_audited_and_the_chain_is_intact(api: httpx.Client) -> None:
    set_retention(api)
    event = audited(api, action="retention.write")
    assert event["record"]["decision"] == "AUDIT_DECISION_ALLOWED"
    assert len(event["record"]["after_digest"]) == 64
    assert api.get(f"/v1/admin/audit/{event['audit_id']}").json() == event
    report = api.post("/v1/admin/audit:verify", json={}).json()
    assert report["intact"], report
    assert int(report["last_sequence"]) >= int(event["sequence"])


def test_the_platforms_chain_is_refused_to_a_tenants_own_administrator(mesh: RunningMesh, stranger: str) -> None:
    with mesh.client(stranger) as other:
        assert other.get("/v1/admin/audit", params={"platform": "true"}).status_code == 403


def test_a_stranger_sees_nothing_of_it(api: httpx.Client, mesh: RunningMesh, stranger: str) -> None:
    set_retention(api)
    event = audited(api, action="retention.write")
    with mesh.client(stranger) as other:
        assert other.get(f"/v1/admin/audit/{event['audit_id']}").status_code == 404


def test_the_command_line_verifies_and_exports_what_the_script_verifies(
    api: httpx.Client, mesh: RunningMesh, tmp_path: Path
) -> None:
    set_retention(api)
    audited(api, action="retention.write")
    verified = mesh.soma("audit", "verify", "--json")
    assert json.loads(verified.stdout)["intact"], verified.stderr
    deadline = SystemClock().monotonic() + WAIT_S
    file = tmp_path / "chain.ndjson"
    anchored = False
    while not anchored:
        exported = mesh.soma("audit", "export", str(file))
        assert exported.returncode == 0, exported.stderr
        anchored = json.loads(file.read_text().splitlines()[-1])["anchor"] is not None
        assert SystemClock().monotonic() < deadline, "no anchor was made"
    command = [sys.executable, str(SCRIPT), str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "intact; anchored up to entry" in done.stdout
