"""What commands say of meshes that start, stop, end or were killed, and of files that cannot be used."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import typer
from typer.testing import CliRunner

from mesh.local import tail
from mesh.local.api import Job
from mesh.local.cli import jobs, starting
from mesh.local.cli.app import build, main
from mesh.local.doctor import _PYTHON
from mesh.local.stack import Options
from mesh.local.supervisor import Phase, ProgramState, StateFile
from tests.unit.local.edge_server import state_of

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result

    from mesh.local.home import Home
    from mesh.local.supervisor import MeshState


@pytest.fixture(autouse=True)
def _at_home(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SA01_HOME", str(home.root))


def _soma(*arguments: str) -> Result:
    return CliRunner().invoke(build(), list(arguments), catch_exceptions=False)


def _with_program(state: MeshState, program: ProgramState) -> MeshState:
    return state.model_copy(update={"programs": (state.programs[0].model_copy(update={"state": program}),)})


def test_a_mesh_whose_program_waits_is_not_well(home: Home) -> None:
    StateFile(home).write(_with_program(state_of(8010), ProgramState.WAITING))
    result = _soma("status")
    assert result.exit_code == 1
    assert "not running: postgres" in result.stdout


def test_programs_of_a_killed_supervisor_are_told_as_stopped(home: Home) -> None:
    state = state_of(8010)
    dead = state.supervisor.model_copy(update={"started": "boot:1"})
    StateFile(home).write(state.model_copy(update={"supervisor": dead}))
    result = _soma("status", "--json")
    assert result.exit_code == 1
    assert '"running"' not in result.stdout
    assert "4242" not in result.stdout


def test_a_start_that_is_given_up_leaves_no_process(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    children: list[subprocess.Popen[bytes]] = []

    async def interrupted(_: Home, child: subprocess.Popen[bytes], **__: object) -> MeshState:
        children.append(child)
        raise KeyboardInterrupt

    monkeypatch.setattr(starting, "settled", interrupted)
    monkeypatch.setattr(starting, "_command", lambda _: [sys.executable, "-c", "import signal; signal.pause()"])
    with pytest.raises(KeyboardInterrupt):
        starting.start_detached(home, Options(), as_json=True)
    assert children[0].poll() is not None


def test_a_mesh_that_is_being_stopped_is_waited_for(home: Home) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        identity = type(state_of(8010).supervisor).of(other.pid)
        assert identity is not None
        leaving = state_of(8010).model_copy(update={"phase": Phase.STOPPING, "supervisor": identity})
        StateFile(home).write(leaving)
        assert other.stdin is not None
        other.stdin.close()
        assert asyncio.run(starting.present(home, as_json=True)) is None
        assert not identity.alive()


@pytest.mark.parametrize("state", ["JOB_STATE_FAILED", "JOB_STATE_CANCELLED", "JOB_STATE_PARTIAL"])
def test_a_followed_job_that_did_not_complete_is_a_failure(state: str) -> None:
    job = Job.model_validate({"jobId": "j", "job_id": "j", "state": state})
    with pytest.raises(typer.Exit) as ended:
        jobs._show_end(job, as_json=True)
    assert ended.value.exit_code == 1
    jobs._show_end(job.model_copy(update={"state": "JOB_STATE_COMPLETED"}), as_json=True)


@pytest.mark.parametrize("as_json", [True, False])
def test_a_file_that_cannot_be_used_is_named(
    as_json: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "no-folder"
    file.write_text("")
    monkeypatch.setenv("SA01_HOME", str(file))
    monkeypatch.setattr(sys, "argv", ["soma", "up", "--detach", *(["--json"] if as_json else [])])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    said = capsys.readouterr()
    assert "no-folder" in (said.out if as_json else said.err)
    assert "Traceback" not in said.err


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 8])
def test_the_last_lines_are_read_from_the_end(count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "_BLOCK_BYTES", 5)
    file = tmp_path / "x.log"
    lines = ["", "a", "a longer line", "b", "", "letzte Zeile äöü", "z"]
    file.write_text("".join(f"{line}\n" for line in lines) + "not ended")
    log = tail.LogTail(file)
    assert log.last(count) == lines[max(len(lines) - count, 0) :]
    with file.open("a") as more:
        more.write(" yet\n")
    assert log.more() == ["not ended yet"]


def test_no_more_of_a_log_is_read_than_its_last_lines_need(tmp_path: Path) -> None:
    file = tmp_path / "x.log"
    with file.open("wb") as log:
        log.truncate(1 << 42)
        log.seek(0, os.SEEK_END)
        log.write(b"\nlast\n")
    assert tail.LogTail(file).last(1) == ["last"]


def test_a_context_names_the_log_of_what_serves_it(home: Home) -> None:
    for name in ("services", "svc-provenance"):
        (home.logs / f"{name}.log").write_text(f"line of {name}\n")
    StateFile(home).write(state_of(8010))
    assert "line of services" in _soma("logs", "provenance").stdout
    StateFile(home).write(state_of(8010).model_copy(update={"mesh": True}))
    assert "line of svc-provenance" in _soma("logs", "provenance").stdout


def test_any_later_python_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (*_PYTHON[:1], _PYTHON[1] + 2, 0, "final", 0))
    assert '"use Python' not in _soma("doctor", "--json").stdout
