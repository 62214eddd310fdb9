"""`soma up` brings the whole mesh up, survives kill -9 of itself, and stops everything."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
from typing import TYPE_CHECKING

import httpx
import pytest

from soma_local.home import Home
from soma_local.identity import ProcessIdentity
from soma_local.ports import free_port
from soma_local.supervisor import MeshState, Phase

if TYPE_CHECKING:
    from collections.abc import Iterator

_TIMEOUT_S = 600
PROGRAMS = {"postgres", "valkey", "temporal", "openbao", "services", "envoy"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    folder = tmp_path_factory.mktemp("up")
    yield Home(folder)
    _soma(Home(folder), "down")


@pytest.fixture(scope="module")
def up(home: Home) -> MeshState:
    return _up(home, free_port())


def _soma(home: Home, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "soma_cli", *arguments, "--json"],
        env={**os.environ, "SA01_HOME": str(home.root)},
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )


def _up(home: Home, port: int) -> MeshState:
    result = _soma(home, "up", "--detach", "--port", str(port))
    assert result.returncode == 0, result.stdout + result.stderr
    return MeshState.model_validate_json(result.stdout)


def _identities(state: MeshState) -> list[ProcessIdentity]:
    found = [ProcessIdentity.for_pid(program.pid or 0) for program in state.programs]
    identities = [identity for identity in found if identity is not None]
    assert len(identities) == len(state.programs) == len(PROGRAMS)
    return identities


def _health(home: Home, state: MeshState) -> httpx.Response:
    return httpx.get(
        f"{state.url}/v1/health", verify=ssl.create_default_context(cafile=str(home.pki / "ca.pem")), timeout=30
    )


@pytest.mark.timeout(_TIMEOUT_S)
def test_the_edge_answers_when_up_returns(home: Home, up: MeshState) -> None:
    assert up.phase is Phase.READY
    assert {program.name for program in up.programs} == PROGRAMS
    assert _health(home, up).status_code == 200


@pytest.mark.timeout(_TIMEOUT_S)
def test_the_development_tenants_key_works(home: Home, up: MeshState) -> None:
    result = _soma(home, "job", "list")
    assert result.returncode == 0, result.stdout
    assert json.loads(result.stdout) == {"jobs": [], "next_page_token": ""}


@pytest.mark.timeout(_TIMEOUT_S)
def test_a_second_up_says_what_runs(home: Home, up: MeshState) -> None:
    again = _soma(home, "up")
    assert json.loads(again.stdout)["supervisor"]["pid"] == up.supervisor.pid


@pytest.mark.timeout(_TIMEOUT_S)
def test_up_follows_a_supervisor_that_was_killed(home: Home, up: MeshState) -> None:
    before = _identities(up)
    os.kill(up.supervisor.pid, signal.SIGKILL)
    following = _up(home, int(up.url.rpartition(":")[2]))
    assert not any(identity.alive() for identity in before)
    assert _health(home, following).status_code == 200


@pytest.mark.timeout(_TIMEOUT_S)
def test_down_leaves_nothing(home: Home, up: MeshState) -> None:
    state = MeshState.model_validate_json(_soma(home, "status").stdout)
    running = _identities(state)
    assert json.loads(_soma(home, "down").stdout) == {"stopped": True}
    assert not any(identity.alive() for identity in [*running, state.supervisor])
