"""`soma up`, `down`, `status`, `logs`, `serve`: the mesh on this machine."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from functools import partial
from typing import Annotated

import typer

from mesh.clock import SystemClock
from mesh.local import contexts
from mesh.local.cli.errors import CommandError
from mesh.local.cli.output import Json, console, emit, line, state_text, table
from mesh.local.home import Home
from mesh.local.program import end_leftovers
from mesh.local.stack import DEFAULT_EDGE_PORT, BusKind, LocalMesh, Options
from mesh.local.supervisor import AlreadyRunningError, MeshState, Phase, StateFile
from mesh.local.tail import LogTail

_START_TIMEOUT_S = 300.0
_STOP_TIMEOUT_S = 90.0
_POLL_S = 0.1
_ENDED = {Phase.STOPPED, Phase.FAILED}


def up(
    *,
    mesh: Annotated[bool, typer.Option("--mesh", help="One process for each service.")] = False,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return when ready; stop with `soma down`.")] = False,
    port: Annotated[int, typer.Option(help="Port of the edge.", min=1, max=65535)] = DEFAULT_EDGE_PORT,
    bus: Annotated[BusKind, typer.Option(envvar="SA01_BUS_KIND", help="What carries the events.")] = BusKind.VALKEY,
    as_json: Json = False,
) -> None:
    """Start engines, services and edge, and keep them running until Ctrl-C."""
    home = Home.from_environment()
    running = StateFile(home).running()
    if running is not None:
        state = asyncio.run(settled(home, as_json=as_json)) if running.phase is Phase.STARTING else running
        show_state(home, state, as_json=as_json, note="already runs")
        return
    options = Options(edge_port=port, mesh=mesh, bus=bus)
    if detach:
        show_state(home, start_detached(home, options, as_json=as_json), as_json=as_json)
    else:
        asyncio.run(_run(home, options, as_json=as_json))


def down(*, as_json: Json = False) -> None:
    """Stop the mesh of this home, in order."""
    home = Home.from_environment()
    was_running = stop(home)
    if as_json:
        emit({"stopped": was_running})
    else:
        console.print("stopped" if was_running else f"nothing runs in {home.root}")


def status(*, as_json: Json = False) -> None:
    """Show what runs; exit with 1 when the mesh is not ready."""
    home = Home.from_environment()
    state = StateFile(home).read()
    if state is None:
        raise CommandError(f"no mesh was started in {home.root}: start it with `soma up`")
    show_state(home, state, as_json=as_json)
    if state.phase is not Phase.READY:
        raise typer.Exit(1)


def logs(
    name: Annotated[str, typer.Argument(help="A program, for example postgres; all of them when absent.")] = "",
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for more until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="Last lines of each shown first.")] = 50,
    as_json: Json = False,
) -> None:
    """Show what the programs wrote."""
    home = Home.from_environment()
    files = sorted(home.logs.glob(f"{name or '*'}.log"))
    if not files:
        known = ", ".join(sorted(file.stem for file in home.logs.glob("*.log"))) or "none yet"
        raise CommandError(f"no log of {name or 'anything'} in {home.logs}; there are: {known}")
    tails = [LogTail(file) for file in files]
    for tail in tails:
        for text in tail.last(lines):
            _show_line(tail.name, text, as_json=as_json)
    if follow:
        asyncio.run(_follow(tails, as_json=as_json))


def serve(
    names: Annotated[list[str] | None, typer.Argument(help="Contexts; all that are installed when absent.")] = None,
) -> None:
    """Serve contexts in this process, with settings from the environment (see run/services.env of the home)."""
    from mesh.local.serve import serve as serve_contexts

    try:
        serve_contexts(names or [])
    except contexts.UnknownContextError as error:
        raise CommandError(str(error)) from error


def start_detached(home: Home, options: Options, *, as_json: bool) -> MeshState:
    """Start the mesh in a process of its own and wait until it is ready; raise CommandError when it fails."""
    home.create()
    argv = [
        sys.executable,
        "-m",
        "mesh.local.cli",
        "up",
        "--json",
        "--port",
        str(options.edge_port),
        "--bus",
        options.bus,
    ]
    with (home.logs / "supervisor.log").open("ab") as log:
        child = subprocess.Popen(
            [*argv, "--mesh"] if options.mesh else argv,
            env={**os.environ, "SA01_HOME": str(home.root)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return asyncio.run(settled(home, child, as_json=as_json))


async def settled(home: Home, child: subprocess.Popen[bytes] | None = None, *, as_json: bool) -> MeshState:
    """Wait until the mesh that is being started is ready; raise CommandError when it ends or takes too long."""
    file, shown = StateFile(home), ""
    try:
        async with asyncio.timeout(_START_TIMEOUT_S):
            while True:
                state = file.read()
                if state is not None and child is not None and state.supervisor.pid != child.pid:
                    state = None  # what an earlier run left
                if state is not None and state.phase is Phase.READY:
                    return state
                _check_starting(home, state, child)
                if state is not None and state.message != shown:
                    shown = state.message
                    _say(shown, as_json=as_json)
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        raise CommandError(f"the mesh was not ready after {_START_TIMEOUT_S:.0f} s; `soma status` shows more") from None


def _check_starting(home: Home, state: MeshState | None, child: subprocess.Popen[bytes] | None) -> None:
    ended = child is not None and child.poll() is not None
    if ended or (state is not None and state.phase in _ENDED):
        reason = state.message if state is not None else "it ended before it wrote its state"
        raise CommandError(f"the mesh did not start: {reason}\nsee {home.logs / 'supervisor.log'}")


def _say(text: str, *, as_json: bool) -> None:
    if text and not as_json:
        line(f"… {text}")


def stop(home: Home) -> bool:
    """Stop the mesh that runs in the home, or what a killed one left; say whether there was one."""
    state = StateFile(home).running()
    if state is None:
        return bool(asyncio.run(end_leftovers(home)))
    asyncio.run(state.supervisor.end(signal.SIGTERM, _STOP_TIMEOUT_S))
    asyncio.run(end_leftovers(home))
    return True


def show_state(home: Home, state: MeshState, *, as_json: bool, note: str = "") -> None:
    """Print what runs and where."""
    if as_json:
        emit(state)
        return
    line("mesh ", note or "", " " if note else "", state_text(state.phase), f" {state.url} in {home.root}")
    if state.message:
        console.print(state.message, markup=False)
    rows = [
        (one.name, state_text(one.state), str(one.pid or ""), one.address, str(one.restarts)) for one in state.programs
    ]
    table(("program", "state", "pid", "address", "restarts"), rows)
    if state.phase is Phase.READY:
        line("API key: ", ("soma token --key", "bold"), "   CA: ", (str(home.pki / "ca.pem"), "bold"))


async def _run(home: Home, options: Options, *, as_json: bool) -> None:
    """Run the mesh in this process until a signal."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stopping.set)
    local = LocalMesh(home, options, SystemClock(), os.getpid(), say=partial(_say, as_json=as_json))
    waiting = asyncio.create_task(stopping.wait())
    starting = asyncio.create_task(local.start())
    try:
        await asyncio.wait({waiting, starting}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            await starting
            state = StateFile(home).read()
            if state is not None:
                show_state(home, state, as_json=as_json)
            await waiting
        else:
            starting.cancel()
            await asyncio.wait({starting})
    except AlreadyRunningError as error:
        raise CommandError(str(error)) from error
    finally:
        waiting.cancel()
        await local.stop()


async def _follow(tails: list[LogTail], *, as_json: bool) -> None:
    while True:
        for tail in tails:
            for text in tail.more():
                _show_line(tail.name, text, as_json=as_json)
        await asyncio.sleep(_POLL_S)


def _show_line(name: str, text: str, *, as_json: bool) -> None:
    if as_json:
        emit({"program": name, "line": text}, indent=None)
    else:
        line((f"{name:<12} ", "cyan"), text)
