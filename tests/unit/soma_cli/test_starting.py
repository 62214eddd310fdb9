"""Commands wait for a mesh that starts or stops, and leave none behind that did not come up."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import typer
from typer.core import TyperGroup
from typer.testing import CliRunner

from soma_cli import starting
from soma_cli.app import build
from soma_cli.commands import mesh
from soma_cli.errors import CommandError
from soma_local.environment import ServicePorts
from soma_local.identity import ProcessIdentity
from soma_local.locate import kafka
from soma_local.stack import BusKind, Options
from soma_local.supervisor import Phase, StateFile
from tests.unit.soma_cli.edge_server import running_mesh, state_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from soma_local.home import Home
    from soma_local.supervisor import MeshState

# Says that it starts, with a fetch under way in its group; told to stop, it ends when the fetch has.
_STARTING = """
import os, signal, subprocess, sys
from datetime import UTC, datetime
from soma_local.home import Home
from soma_local.identity import ProcessIdentity
from soma_local.supervisor import MeshState, Phase, StateFile
home = Home.from_environment()
fetch = subprocess.Popen([sys.executable, "-S", "-c", "import signal; signal.pause()"])
def end(number, frame):
    fetch.wait()
    (home.root / "stopped").touch()
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
StateFile(home).write(MeshState(phase=Phase.STARTING, supervisor=ProcessIdentity.for_pid(os.getpid()),
    started_at=datetime(2030, 1, 1, tzinfo=UTC), url="", message="starting the engines"))
while True:
    signal.pause()
"""


@pytest.fixture(autouse=True)
def _at_home(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SA01_HOME", str(home.root))


@pytest.fixture
def starts(home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A mesh that never becomes ready, ended with the test."""
    monkeypatch.setattr(starting, "_command", lambda _: [sys.executable, "-c", _STARTING])
    yield
    state = StateFile(home).read()
    if state is not None and state.supervisor.alive():
        os.killpg(state.supervisor.pid, signal.SIGKILL)


def _when_said(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    def print_progress(_: str, *, as_json: bool) -> None:
        act()

    monkeypatch.setattr(starting, "print_progress", print_progress)


@pytest.mark.usefixtures("starts")
@pytest.mark.parametrize(
    ("cause", "seen"),
    [pytest.param(KeyboardInterrupt, KeyboardInterrupt, id="Ctrl-C"),
     pytest.param(TimeoutError, CommandError, id="the limit")],
)  # fmt: skip
def test_a_start_that_is_not_waited_for_is_stopped_with_its_fetch(
    home: Home, monkeypatch: pytest.MonkeyPatch, cause: type[BaseException], seen: type[BaseException]
) -> None:
    def interrupt() -> None:
        raise cause

    _when_said(monkeypatch, interrupt)
    with pytest.raises(seen):
        starting.start_detached(home, Options(), as_json=True)
    state = StateFile(home).read()
    assert state is not None
    assert not state.supervisor.alive()
    assert (home.root / "stopped").exists()


def test_a_start_is_waited_for_longer_than_a_fetch_may_take() -> None:
    assert starting.START_TIMEOUT_S > kafka._FETCH_TIMEOUT_S + 300


def test_up_waits_for_the_end_of_a_mesh_that_is_being_stopped(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    stopping = subprocess.Popen([sys.executable, "-S", "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    supervisor = ProcessIdentity.for_pid(stopping.pid)
    assert supervisor is not None
    alive: list[bool] = []

    def start(home: Home, options: Options, *, as_json: bool) -> MeshState:
        alive.append(supervisor.alive())
        return state_of(options.edge_port)

    monkeypatch.setattr(mesh, "start_detached", start)
    with stopping:
        StateFile(home).write(state_of(8010).model_copy(update={"phase": Phase.STOPPING, "supervisor": supervisor}))
        _when_said(monkeypatch, lambda: stopping.stdin.close() if stopping.stdin else None)
        result = CliRunner().invoke(build(), ["up", "--detach", "--port", "8011", "--json"], catch_exceptions=False)
    assert alive == [False]
    assert json.loads(result.stdout)["url"] == "https://127.0.0.1:8011"


def test_the_demo_waits_until_a_mesh_that_is_being_started_is_ready(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text("{}")
    ServicePorts.allocate(home, [])
    with running_mesh(home):
        file = StateFile(home)
        ready = file.read()
        assert ready is not None
        file.write(ready.model_copy(update={"phase": Phase.STARTING, "message": "opening the edge"}))
        _when_said(monkeypatch, lambda: file.write(ready))
        result = CliRunner().invoke(
            build(), ["demo", "--plan", str(plan), "--out", str(tmp_path / "out"), "--json"], catch_exceptions=False
        )
        assert result.exit_code == 0
        assert file.read() == ready


def test_a_mesh_in_the_background_has_the_replicas_that_were_asked_for() -> None:
    command = starting._command(Options(process_per_service=True, replicas=3))
    assert command[-3:] == ["--mesh", "--replicas", "3"]


@pytest.mark.parametrize("bus", list(BusKind))
def test_which_bus_runs_is_the_operators_choice(monkeypatch: pytest.MonkeyPatch, bus: BusKind) -> None:
    monkeypatch.setenv("SA01_BUS_KIND", bus)
    group = typer.main.get_command(build())
    assert isinstance(group, TyperGroup)
    up = group.commands["up"].make_context("up", [])
    assert up.params["bus"] == bus
