"""Starts the mesh in a process of its own, and waits for one that is being started or stopped."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from soma_cli.errors import CommandError
from soma_cli.output import line
from soma_local.supervisor import MeshState, Phase, StateFile

if TYPE_CHECKING:
    from soma_local.home import Home
    from soma_local.stack import Options

START_TIMEOUT_S = 1200.0
"""Longer than all stages of a start together: each has a limit of its own, a fetch of Kafka's jars 600 s."""
STOP_TIMEOUT_S = 90.0
_POLL_S = 0.1
_ENDED = {Phase.STOPPED, Phase.FAILED}


async def find_running_mesh(home: Home, *, as_json: bool) -> MeshState | None:
    """Give the mesh that runs, once it is ready; None when there is none, or its stop was waited for."""
    file = StateFile(home)
    state = file.running()
    while state is not None and state.phase is Phase.STOPPING:
        await _wait_until_stopped(state, as_json=as_json)
        state = file.running()
    if state is not None and state.phase is Phase.STARTING:
        return await wait_until_ready(home, as_json=as_json)
    return state


def start_detached(home: Home, options: Options, *, as_json: bool) -> MeshState:
    """Start the mesh in a process of its own and wait until it is ready; raise CommandError when it fails.

    Whatever ends the wait before that ends the process, too.
    """
    home.create()
    with (home.logs / "supervisor.log").open("ab") as log:
        child = subprocess.Popen(
            _command(options),
            env={**os.environ, "SA01_HOME": str(home.root)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        return asyncio.run(wait_until_ready(home, child, as_json=as_json))
    except BaseException:
        _end(child)
        raise


async def wait_until_ready(home: Home, child: subprocess.Popen[bytes] | None = None, *, as_json: bool) -> MeshState:
    """Wait until the mesh that is being started is ready; raise CommandError when it ends or takes too long."""
    file, shown = StateFile(home), ""
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            while True:
                state = file.read()
                if state is not None and child is not None and state.supervisor.pid != child.pid:
                    state = None  # what an earlier run left
                if state is not None and state.phase is Phase.READY:
                    return state
                _check_starting(home, state, child)
                if state is not None and state.message != shown:
                    shown = state.message
                    report(shown, as_json=as_json)
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        raise CommandError(f"the mesh was not ready after {START_TIMEOUT_S:.0f} s; `soma status` shows more") from None


def report(text: str, *, as_json: bool) -> None:
    """Tell people what is being done."""
    if text and not as_json:
        line(f"… {text}")


def _command(options: Options) -> list[str]:
    argv = [sys.executable, "-m", "soma_cli", "up", "--json"]
    argv += ["--port", str(options.edge_port), "--bus", options.bus]
    return [*argv, "--mesh", "--replicas", str(options.replicas)] if options.mesh else argv


def _end(child: subprocess.Popen[bytes]) -> None:
    """Stop a mesh that is being started, with what it runs in its own group: it would wait for a fetch to end."""
    if child.poll() is not None:
        return
    os.killpg(child.pid, signal.SIGTERM)
    try:
        child.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


async def _wait_until_stopped(state: MeshState, *, as_json: bool) -> None:
    """Wait for the end of a mesh's process, because only then is its home free."""
    report("waiting for the mesh that is being stopped", as_json=as_json)
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            while state.supervisor.alive():  # noqa: ASYNC110 - another process's end has no event to wait for
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        raise CommandError(f"the mesh was still being stopped after {STOP_TIMEOUT_S:.0f} s") from None


def _check_starting(home: Home, state: MeshState | None, child: subprocess.Popen[bytes] | None) -> None:
    ended = child is not None and child.poll() is not None
    if ended or (state is not None and state.phase in _ENDED):
        reason = state.message if state is not None else "it ended before it wrote its state"
        raise CommandError(f"the mesh did not start: {reason}\nsee {home.logs / 'supervisor.log'}")
