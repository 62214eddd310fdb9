"""What the commands answer to programs (`--json`) and to people."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from soma_cli import output
from soma_cli.app import build, main
from soma_cli.client import EdgeClient, EdgeError
from soma_cli.commands import mesh
from soma_cli.errors import CommandError
from soma_local.environment import ServicePorts
from soma_local.supervisor import StateFile
from tests.unit.soma_cli.edge_server import ASSET_ID, JOB_ID, TRACE, running_mesh, state_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from typer.testing import Result

    from soma_local.home import Home


@pytest.fixture(autouse=True)
def _at_home(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SA01_HOME", str(home.root))
    monkeypatch.setattr(output.console, "width", 160)


@pytest.fixture
def posted(home: Home) -> Iterator[list[dict[str, object]]]:
    ServicePorts.allocate(home, [])
    with running_mesh(home) as submitted:
        yield submitted


def _soma(*arguments: str) -> Result:
    return CliRunner().invoke(build(), list(arguments), catch_exceptions=False)


def test_status_tells_programs_what_runs(home: Home) -> None:
    state = state_of(8010)
    StateFile(home).write(state)
    result = _soma("status", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {
        "phase": "ready",
        "supervisor": {"pid": os.getpid(), "started": state.supervisor.started},
        "started_at": "2030-01-01T00:00:00Z",
        "url": "https://127.0.0.1:8010",
        "mesh": False,
        "message": "",
        "programs": [
            {
                "name": "postgres",
                "state": "running",
                "pid": 4242,
                "address": "127.0.0.1:15432",
                "restarts": 0,
                "last_exit": None,
                "log_file": "",
            }
        ],
    }


def test_status_of_a_killed_supervisor_is_failed(home: Home) -> None:
    state = state_of(8010)
    StateFile(home).write(
        state.model_copy(update={"supervisor": state.supervisor.model_copy(update={"started": "boot:1"})})
    )
    result = _soma("status", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["phase"] == "failed"


def test_up_says_what_runs_already(home: Home) -> None:
    StateFile(home).write(state_of(8010))
    result = _soma("up", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["url"] == "https://127.0.0.1:8010"


def test_down_without_a_mesh_stops_nothing() -> None:
    assert json.loads(_soma("down", "--json").stdout) == {"stopped": False}


def test_a_failure_is_json_where_json_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["soma", "job", "list", "--json"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["message"].startswith("no mesh runs in ")


def test_a_job_is_submitted_with_its_plan(posted: list[dict[str, object]], tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text('{"version": "1.0", "tasks": []}')
    result = _soma("job", "submit", str(plan), "--request-id", "once", "--json")
    assert posted == [{"path": "/v1/multimodal/jobs", "plan": {"version": "1.0", "tasks": []}, "request_id": "once"}]
    assert json.loads(result.stdout)["job_id"] == JOB_ID


def test_a_file_that_is_no_plan_is_refused(posted: list[dict[str, object]], tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text("[]")
    with pytest.raises(EdgeError, match="must be a JSON object"):
        _soma("job", "submit", str(plan))


def test_watching_gives_every_event_once_over_a_cut(posted: list[dict[str, object]]) -> None:
    lines = _soma("job", "watch", JOB_ID, "--json").stdout.splitlines()
    assert [json.loads(line)["sequence"] for line in lines[:3]] == [1, 2, 3]
    assert json.loads("\n".join(lines[3:]))["state"] == "JOB_STATE_COMPLETED"


def test_watching_shows_people_what_happens(posted: list[dict[str, object]]) -> None:
    shown = _soma("job", "watch", JOB_ID).stdout
    assert "diagram" in shown
    assert "reworked" in shown


def test_text_of_the_mesh_is_never_read_as_markup(posted: list[dict[str, object]]) -> None:
    assert "Sign-in [draft]" in _soma("job", "describe", JOB_ID).stdout


def test_jobs_are_listed(posted: list[dict[str, object]]) -> None:
    listed = json.loads(_soma("job", "list", "--json").stdout)
    assert [job["job_id"] for job in listed["jobs"]] == [JOB_ID]
    assert listed["jobs"][0]["cost_micro_usd"] == 1500


def test_a_job_is_cancelled_with_its_reason(posted: list[dict[str, object]]) -> None:
    _soma("job", "cancel", JOB_ID, "--reason", "changed my mind", "--json")
    assert posted == [{"path": f"/v1/multimodal/jobs/{JOB_ID}:cancel", "reason": "changed my mind"}]


def test_a_trace_tells_people_why(posted: list[dict[str, object]]) -> None:
    shown = _soma("trace", JOB_ID).stdout
    assert "attempt 2 [rework] mermaid@local succeeded, quality 0.91, $0.0015, 800 ms" in shown
    assert "because text too small" in shown
    assert "The first diagram was too small, so it was made again." in shown
    assert "2 attempts, 1 rework" in shown


def test_a_trace_is_followed_over_a_cut_and_nothing_is_told_twice(posted: list[dict[str, object]]) -> None:
    lines = _soma("trace", JOB_ID, "--follow").stdout.splitlines()
    assert lines[:3] == [
        "job running",
        "diagram: attempt 1 mermaid@local rejected, quality 0.40, free, 800 ms",
        "diagram: attempt 2 [rework] mermaid@local succeeded, quality 0.91, $0.0015, 800 ms",
    ]
    assert lines[3].startswith("job 0189")


def test_programs_get_each_change_of_a_trace_on_a_line(posted: list[dict[str, object]]) -> None:
    events = [json.loads(text) for text in _soma("trace", JOB_ID, "-f", "--json").stdout.splitlines()]
    assert events[-1] == {"trace": TRACE}
    assert json.loads(_soma("trace", JOB_ID, "--json").stdout) == TRACE


def test_a_token_is_made_and_the_key_is_shown(posted: list[dict[str, object]]) -> None:
    assert _soma("token").stdout.strip() == "a.b.c"
    assert _soma("token", "--key").stdout.strip() == "soma_dev_key"


def test_an_error_of_the_mesh_keeps_its_reason_and_trace(posted: list[dict[str, object]], home: Home) -> None:
    with EdgeClient.for_home(home) as client, pytest.raises(EdgeError, match="job not found") as refused:
        client.get_job("01890000-0000-7000-8000-00000000dead")
    assert (refused.value.code, refused.value.reason, refused.value.trace_id) == (404, "NOT_FOUND", "abc123")


def test_an_asset_is_downloaded(posted: list[dict[str, object]], home: Home, tmp_path: Path) -> None:
    with EdgeClient.for_home(home) as client:
        client.download_asset(ASSET_ID, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"<svg>"


def test_logs_show_the_last_lines_of_a_program(home: Home) -> None:
    (home.logs / "postgres.log").write_text("one\ntwo\nthree\n")
    lines = _soma("logs", "postgres", "-n", "2", "--json").stdout.splitlines()
    assert [json.loads(line) for line in lines] == [
        {"program": "postgres", "line": "two"},
        {"program": "postgres", "line": "three"},
    ]


def test_a_long_line_of_a_log_stays_one_line(home: Home) -> None:
    (home.logs / "services.log").write_text(json.dumps({"event": "word " * 60}) + "\n")
    [shown] = _soma("logs", "services").stdout.splitlines()
    assert shown.count("word") == 60


def test_doctor_finds_every_part(monkeypatch: pytest.MonkeyPatch) -> None:
    report = json.loads(_soma("doctor", "--json").stdout)
    parts = {finding["part"] for finding in report["findings"]}
    assert {
        "python", "postgres", "valkey", "temporal", "openbao", "envoy", "java", "plantuml", "chromium", "chat model",
        "espeak", "node", "npm", "disk", "memory", "port 8010",
    } <= parts  # fmt: skip
    assert all(finding["where"] or finding["advice"] for finding in report["findings"])


def test_doctor_fails_when_something_needed_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SA01_CHROMIUM", "/nowhere/chromium")
    result = _soma("doctor", "--json")
    missing = [finding for finding in json.loads(result.stdout)["findings"] if finding["part"] == "chromium"]
    assert result.exit_code == 1
    assert "SA01_CHROMIUM names /nowhere/chromium" in missing[0]["advice"]


def test_the_version_is_the_packages() -> None:
    assert json.loads(_soma("version", "--json").stdout)["version"].count(".") == 2


def test_the_demo_saves_what_the_job_made_and_leaves_a_running_mesh_alone(
    posted: list[dict[str, object]], home: Home, tmp_path: Path
) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text('{"tasks": [{"params": {"url": "{{examples_url}}/page.html"}}]}')
    out = tmp_path / "out"
    result = _soma("demo", "--plan", str(plan), "--out", str(out), "--json")
    assert result.exit_code == 0
    assert str(posted[0]["plan"]).startswith("{'tasks': [{'params': {'url': 'http://127.0.0.1:")
    assert sorted(str(file.relative_to(out)) for file in out.rglob("*") if file.is_file()) == [
        "assets/diagram-diagram.svg", "files.txt", "job.json", "provenance/diagram-diagram.svg.json", "trace.json",
    ]  # fmt: skip
    assert StateFile(home).running() is not None


def test_the_demo_replaces_the_files_of_the_last_one_alone(posted: list[dict[str, object]], tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text("{}")
    out = tmp_path / "out"
    _soma("demo", "--plan", str(plan), "--out", str(out), "--json")
    (out / "mine.txt").write_text("kept")
    _soma("demo", "--plan", str(plan), "--out", str(out))
    assert (out / "mine.txt").read_text() == "kept"
    assert len(list((out / "assets").iterdir())) == 1


def test_the_demo_registers_what_its_plan_wants_first(posted: list[dict[str, object]], tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text("{}")
    folder = tmp_path / "plan.capabilities"
    folder.mkdir()
    (folder / "down.json").write_text('{"tool_id": "down", "endpoint": "{{absent_url}}"}')
    assert _soma("demo", "--plan", str(plan), "--out", str(tmp_path / "out"), "--json").exit_code == 0
    assert [entry["path"] for entry in posted] == ["/v1/multimodal/capabilities", "/v1/multimodal/jobs"]
    assert str(posted[0]["endpoint"]).startswith("http://127.0.0.1:")


def test_replicas_without_a_process_for_each_service_are_refused() -> None:
    with pytest.raises(CommandError, match="--mesh"):
        mesh.up(replicas=3)
