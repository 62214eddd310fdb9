"""Each program through the real edge: one job from the plan to its file, and what a refusal looks like."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pytest

from tests.clients.polyglot.programs import NAMES, Program, built
from tests.conftest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

    from tests.clients.polyglot.programs import Outcome
    from tests.e2e.conftest import RunningMesh

PLAN = ROOT / "examples" / "hello_job.json"
JOB_S = 300  # the first diagram of a mesh may have to fetch a browser


@pytest.fixture(params=NAMES)
def program(request: pytest.FixtureRequest) -> Program:
    client = built(request.param)
    mesh: RunningMesh = request.getfixturevalue("mesh")  # only then, or a mesh would start for tests that are skipped
    return Program(client, f"127.0.0.1:{mesh.port}", mesh.authority, mesh.key)


@pytest.mark.timeout(400)
def test_a_job_runs_from_its_plan_to_its_file(program: Program, api: httpx.Client, tmp_path: Path) -> None:
    output = tmp_path / "hello"
    outcome = program.run(PLAN, output, timeout_s=JOB_S)
    assert outcome.code == 0, outcome
    assert outcome.sequences == list(range(1, len(outcome.sequences) + 1))
    assert outcome.value("state") == "JOB_STATE_COMPLETED"
    job = api.get(f"/v1/multimodal/jobs/{outcome.value('job')}").json()
    asset = api.get(f"/v1/multimodal/assets/{job['steps'][0]['asset_ids'][0]}/metadata").json()
    assert outcome.value("file") == asset["filename"]
    assert outcome.value("bytes") == str(asset["size_bytes"])
    assert outcome.value("sha256") == asset["checksum_sha256"]
    assert hashlib.sha256(output.read_bytes()).hexdigest() == asset["checksum_sha256"]
    assert [path.name for path in tmp_path.iterdir()] == ["hello"]


def test_a_key_with_another_signature_is_unauthenticated(program: Program, tmp_path: Path) -> None:
    signed, _, signature = program.key.rpartition(".")
    forged = f"{signed}.{signature[::-1]}"
    outcome = Program(program.client, program.address, program.authority, forged).run(PLAN, tmp_path / "out")
    refused(outcome, "UNAUTHENTICATED", tmp_path)


def test_a_plan_that_is_wrong_names_the_field(program: Program, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"version": "1.0", "tasks": [{"task_id": "x", "step_type": "nonsense", "params": {}}]}))
    outcome = program.run(plan, tmp_path / "out")
    refused(outcome, "INVALID_ARGUMENT", tmp_path)
    assert outcome.value("reason:") == "INVALID_PLAN"
    assert outcome.value("field:").startswith("/tasks/0/step_type: UNKNOWN_VALUE")
    assert len(outcome.value("trace:")) == 32


def refused(outcome: Outcome, code: str, folder: Path) -> None:
    """Asserts that a run ended with this status, told with a message, and left no file."""
    assert outcome.code == 1
    assert outcome.lines == []
    assert outcome.value("error:") == code
    assert outcome.value("message:")
    assert not (folder / "out").exists()
