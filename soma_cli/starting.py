"""Starts the mesh in its own process, and waits for a mesh that is being started or stopped."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from soma_cli.errors import CommandError
from soma_cli.output import print_line
from soma_local.supervisor import MeshState, Phase, StateFile

if TYPE_CHECKING:
    from soma_local.home import Home
    from soma_local.stack import Options

START_TIMEOUT_S = 1200.0
"""Longer than the timeouts of all stages together; that of a download of Kafka's jars is 600 s."""
STOP_TIMEOUT_S = 90.0
_POLL_S = 0.1
_ENDED_PHASES = {Phase.STOPPED, Phase.FAILED}


async def find_running_mesh(home: Home, *, as_json: bool) -> MeshState | None:
    """Returns the running mesh once it is ready; None when there is none. Waits for one that is being stopped."""
    file = StateFile(home)
    state = file.running()
    while state is not None and state.phase is Phase.STOPPING:
        await _wait_until_stopped(state, as_json=as_json)
        state = file.running()
    if state is not None and state.phase is Phase.STARTING:
        return await wait_until_ready(home, as_json=as_json)
    return state


def start_detached(home: Home, options: Options, *, as_json: bool) -> MeshState:
    """Starts the mesh in its own process and waits until it is ready; raises CommandError when it fails.

    An interrupted wait terminates the process.
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
        _terminate(child)
        raise


async def wait_until_ready(home: Home, child: subprocess.Popen[bytes] | None = None, *, as_json: bool) -> MeshState:
    """Waits until a starting mesh is ready; raises CommandError when it ends or after the timeout."""
    file, reported = StateFile(home), ""
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            while True:
                state = file.read()
                if state is not None and child is not None and state.supervisor.pid != child.pid:
                    state = None  # the state file of an earlier run
                if state is not None and state.phase is Phase.READY:
                    return state
                _check_starting(home, state, child)
                if state is not None and state.message != reported:
                    reported = state.message
                    print_progress(reported, as_json=as_json)
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        raise CommandError(f"the mesh was not ready after {START_TIMEOUT_S:.0f} s; `soma status` shows more") from None


def print_progress(text: str, *, as_json: bool) -> None:
    """Prints what is being done, unless the output is JSON."""
    if text and not as_json:
        print_line(f"… {text}")


def _command(options: Options) -> list[str]:
    argv = [sys.executable, "-m", "soma_cli", "up", "--json"]
    argv += ["--port", str(options.edge_port), "--bus", options.bus]
    return [*argv, "--mesh", "--replicas", str(options.replicas)] if options.process_per_service else argv


def _terminate(child: subprocess.Popen[bytes]) -> None:
    """Terminates the process group of a starting mesh; the process alone would wait for a download to end."""
    if child.poll() is not None:
        return
    os.killpg(child.pid, signal.SIGTERM)
    try:
        child.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


async def _wait_until_stopped(state: MeshState, *, as_json: bool) -> None:
    """Waits until the process of a mesh has ended, which unlocks its home."""
    print_progress("waiting for the mesh that is being stopped", as_json=as_json)
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            while state.supervisor.alive():  # noqa: ASYNC110 - another process's end has no event to wait for
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        raise CommandError(f"the mesh was still being stopped after {STOP_TIMEOUT_S:.0f} s") from None


def _check_starting(home: Home, state: MeshState | None, child: subprocess.Popen[bytes] | None) -> None:
    ended = child is not None and child.poll() is not None
    if ended or (state is not None and state.phase in _ENDED_PHASES):
        reason = state.message if state is not None else "it ended before it wrote its state"
        raise CommandError(f"the mesh did not start: {reason}\nsee {home.logs / 'supervisor.log'}")
