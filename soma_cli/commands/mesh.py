"""`soma up`, `down`, `status`, `serve`: the mesh on this machine."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from mesh import contexts
from mesh.clock import SystemClock
from soma_cli.errors import CommandError
from soma_cli.output import Json, console, print_json, print_line, print_table, state_text
from soma_cli.starting import STOP_TIMEOUT_S, find_running_mesh, print_progress, start_detached
from soma_local.home import Home
from soma_local.program import end_orphans
from soma_local.stack import DEFAULT_EDGE_PORT, BusKind, LocalMesh, Options
from soma_local.supervisor import AlreadyRunningError, MeshState, Phase, ProgramState, StateFile

if TYPE_CHECKING:
    from collections.abc import Callable

UP_WITH = "SA01_UP_WITH"
"""Environment variable with a process id: the mesh stops when that process ends."""


def up(
    *,
    process_per_service: Annotated[bool, typer.Option("--mesh", help="One process for each service.")] = False,
    replicas: Annotated[int, typer.Option(help="Processes of each service, with --mesh.", min=1, max=9)] = 1,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return when ready; stop with `soma down`.")] = False,
    port: Annotated[int, typer.Option(help="Port of the edge.", min=1, max=65535)] = DEFAULT_EDGE_PORT,
    bus: Annotated[BusKind, typer.Option(envvar="SA01_BUS_KIND", help="What carries the events.")] = BusKind.VALKEY,
    as_json: Json = False,
) -> None:
    """Start engines, services and edge, and keep them running until Ctrl-C."""
    if replicas > 1 and not process_per_service:
        raise CommandError("--replicas needs --mesh: without it all services share one process")
    home = Home.from_environment()
    running = asyncio.run(find_running_mesh(home, as_json=as_json))
    if running is not None:
        show_state(home, running, as_json=as_json, prefix="already runs")
        return
    options = Options(edge_port=port, process_per_service=process_per_service, replicas=replicas, bus=bus)
    if detach:
        show_state(home, start_detached(home, options, as_json=as_json), as_json=as_json)
    else:
        asyncio.run(_run(home, options, as_json=as_json))


def down(*, as_json: Json = False) -> None:
    """Stop the mesh of this home, in order."""
    home = Home.from_environment()
    was_running = stop(home)
    if as_json:
        print_json({"stopped": was_running})
    else:
        console.print("stopped" if was_running else f"nothing runs in {home.root}")


def status(*, as_json: Json = False) -> None:
    """Show what runs; exit with 1 when the mesh is not ready or one of its programs does not run."""
    home = Home.from_environment()
    state = StateFile(home).read()
    if state is None:
        raise CommandError(f"no mesh was started in {home.root}: start it with `soma up`")
    show_state(home, state, as_json=as_json)
    not_running = [program.name for program in state.programs if program.state is not ProgramState.RUNNING]
    if not_running and not as_json:
        print_line((f"not running: {', '.join(not_running)}", "red"))
    if not_running or state.phase is not Phase.READY:
        raise typer.Exit(1)


def serve(
    names: Annotated[list[str] | None, typer.Argument(help="Contexts; all that are installed when absent.")] = None,
) -> None:
    """Serve contexts in this process, with settings from the environment (see run/services.env of the home)."""
    from soma_local.serve import serve as serve_contexts

    try:
        serve_contexts(names or [])
    except contexts.UnknownContextError as error:
        raise CommandError(str(error)) from error


def stop(home: Home) -> bool:
    """Stops the mesh of a home, or the programs that a killed one left; returns whether there were any."""
    state = StateFile(home).running()
    if state is None:
        return bool(asyncio.run(end_orphans(home)))
    asyncio.run(state.supervisor.end(signal.SIGTERM, STOP_TIMEOUT_S))
    asyncio.run(end_orphans(home))
    return True


def show_state(home: Home, state: MeshState, *, as_json: bool, prefix: str = "") -> None:
    """Prints the state of a mesh and its programs."""
    if as_json:
        print_json(state)
        return
    print_line("mesh ", prefix, " " if prefix else "", state_text(state.phase), f" {state.url} in {home.root}")
    if state.message:
        console.print(state.message, markup=False)
    rows = [
        (program.name, state_text(program.state), str(program.pid or ""), program.address, str(program.restarts))
        for program in state.programs
    ]
    if rows:
        print_table(("program", "state", "pid", "address", "restarts"), rows)
    if state.phase is Phase.READY:
        print_line("API key: ", ("soma token --key", "bold"), "   CA: ", (str(home.pki / "ca.pem"), "bold"))


async def _run(home: Home, options: Options, *, as_json: bool) -> None:
    """Runs the mesh in this process until a signal."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stopping.set)
    local = LocalMesh(home, options, SystemClock(), os.getpid(), report=partial(print_progress, as_json=as_json))
    stop_watching = _stop_with_process(stopping)
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
        stop_watching()
        waiting.cancel()
        await local.stop()


def _stop_with_process(stopping: asyncio.Event) -> Callable[[], None]:
    """Sets `stopping` when the process of `SA01_UP_WITH` ends; returns a function that stops watching it."""
    pid = os.environ.get(UP_WITH)
    if not pid or sys.platform != "linux":
        return lambda: None
    loop = asyncio.get_running_loop()
    try:
        pidfd = os.pidfd_open(int(pid))
    except ProcessLookupError:
        stopping.set()
        return lambda: None

    def ended() -> None:
        loop.remove_reader(pidfd)
        stopping.set()

    def close() -> None:
        loop.remove_reader(pidfd)
        os.close(pidfd)

    loop.add_reader(pidfd, ended)
    return close
