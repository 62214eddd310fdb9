"""How `soma job` ends tells whether the job completed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from mesh.local.cli.app import build
from tests.unit.local.edge_server import JOB, JOB_ID, running_mesh

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mesh.local.home import Home


@pytest.fixture(autouse=True)
def _running(home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SA01_HOME", str(home.root))
    with running_mesh(home):
        yield


@pytest.fixture(params=["watch", "submit"])
def command(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    """Each way to follow a job to its end."""
    plan = tmp_path / "plan.json"
    plan.write_text("{}")
    return ["job", "watch", JOB_ID] if request.param == "watch" else ["job", "submit", str(plan), "--watch"]


@pytest.mark.parametrize(
    ("state", "status"), [("COMPLETED", 0), ("PARTIAL", 1), ("FAILED", 1), ("CANCELLED", 1)]
)  # fmt: skip
def test_following_a_job_fails_unless_it_completed(
    command: list[str], monkeypatch: pytest.MonkeyPatch, state: str, status: int
) -> None:
    monkeypatch.setitem(JOB, "state", f"JOB_STATE_{state}")
    result = CliRunner().invoke(build(), [*command, "--json"], catch_exceptions=False)
    assert result.exit_code == status
    assert json.loads("".join(result.stdout.splitlines()[3:]))["state"] == f"JOB_STATE_{state}"


def test_submitting_alone_does_not_judge_the_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text("{}")
    monkeypatch.setitem(JOB, "state", "JOB_STATE_PENDING")
    assert CliRunner().invoke(build(), ["job", "submit", str(plan)], catch_exceptions=False).exit_code == 0
