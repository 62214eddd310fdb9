"""`soma status` tells the truth about each program."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from soma_cli.app import build
from soma_local.supervisor import ProgramState, ProgramStatus, StateFile
from tests.unit.soma_cli.edge_server import state_of

if TYPE_CHECKING:
    from typer.testing import Result

    from soma_local.home import Home


@pytest.fixture(autouse=True)
def _at_home(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SA01_HOME", str(home.root))


def _status(*arguments: str) -> Result:
    return CliRunner().invoke(build(), ["status", *arguments], catch_exceptions=False)


@pytest.mark.parametrize("state", [ProgramState.WAITING, ProgramState.STARTING])
def test_a_ready_mesh_with_a_program_that_does_not_run_is_a_failure_that_names_it(
    home: Home, state: ProgramState
) -> None:
    ready = state_of(8010)
    StateFile(home).write(
        ready.model_copy(update={"programs": (*ready.programs, ProgramStatus(name="services", state=state))})
    )
    shown = _status()
    assert shown.exit_code == 1
    assert "not running: services" in shown.stdout.splitlines()
    assert _status("--json").exit_code == 1


def test_the_programs_of_a_killed_supervisor_are_stopped_and_have_no_pid(home: Home) -> None:
    state = state_of(8010)
    StateFile(home).write(
        state.model_copy(update={"supervisor": state.supervisor.model_copy(update={"started": "boot:1"})})
    )
    [program] = json.loads(_status("--json").stdout)["programs"]
    assert (program["name"], program["state"], program["pid"]) == ("postgres", "stopped", None)
