"""How `soma job` ends tells whether the job completed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from soma_cli import output
from soma_cli.app import build, main
from tests.unit.soma_cli import edge_server
from tests.unit.soma_cli.edge_server import JOB, JOB_ID, running_mesh

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from soma_local.home import Home


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


def test_a_narrow_terminal_cuts_no_id_or_name_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output.console, "width", 60)
    listed = CliRunner().invoke(build(), ["job", "list"], catch_exceptions=False).stdout
    assert JOB_ID in listed
    described = CliRunner().invoke(build(), ["job", "describe", JOB_ID], catch_exceptions=False).stdout
    assert "…" not in listed + described


@pytest.mark.parametrize("given", ["completed", "COMPLETED", "JOB_STATE_COMPLETED"])
def test_jobs_are_listed_by_state(given: str) -> None:
    assert CliRunner().invoke(build(), ["job", "list", "--state", given], catch_exceptions=False).exit_code == 0


def test_a_state_that_no_job_has_is_refused_with_those_there_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = _refusal(monkeypatch, capsys, "job", "list", "--state", "done")
    assert said == "soma: 'done' is none of the states pending, running, completed, partial, failed, cancelled\n"


def test_a_refusal_that_names_one_field_says_it_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = edge_server.status(3, "INVALID_ARGUMENT", "job_id: must be a valid UUID", "abc125")
    refused["details"].append(  # type: ignore[attr-defined]
        {"field_violations": [{"field": "job_id", "description": "must be a valid UUID"}]}
    )
    monkeypatch.setattr(edge_server, "NOT_FOUND", refused)
    assert _refusal(monkeypatch, capsys, "job", "describe", "x") == "soma: job_id: must be a valid UUID\n"


def _refusal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    monkeypatch.setattr("sys.argv", ["soma", *arguments])
    with pytest.raises(SystemExit):
        main()
    return capsys.readouterr().err
