"""`soma logs`: what the programs of the mesh wrote."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from mesh import contexts
from soma_cli.errors import CommandError
from soma_cli.output import Json, emit, line
from soma_cli.tail import LogTail
from soma_local.home import Home
from soma_local.services import ALL_IN_ONE
from soma_local.supervisor import StateFile

if TYPE_CHECKING:
    from pathlib import Path

_POLL_S = 0.1


def logs(
    name: Annotated[
        str, typer.Argument(help="A program or a context, for example postgres or provenance; all when absent.")
    ] = "",
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for more until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="Last lines of each shown first.")] = 50,
    as_json: Json = False,
) -> None:
    """Show what the programs wrote."""
    home = Home.from_environment()
    program = _program(home, name)
    files = _files(home, program)
    if not files and (name or not follow):
        known = ", ".join(file.stem for file in _files(home, "*")) or "none yet"
        raise CommandError(f"no log of {name or 'anything'} in {home.logs}; there are: {known}")
    tails = {file: LogTail(file) for file in files}
    for tail in tails.values():
        for text in tail.last(lines):
            _show_line(tail.name, text, as_json=as_json)
    if follow:
        asyncio.run(_follow(home, program, tails, as_json=as_json))


def _program(home: Home, name: str) -> str:
    """Give the program of that name, or the one that serves the context of that name; `*` for none."""
    if name not in {context.name for context in contexts.installed()}:
        return name or "*"
    state = StateFile(home).read()
    return f"svc-{name}" if state is not None and state.mesh else ALL_IN_ONE


def _files(home: Home, program: str) -> list[Path]:
    return sorted(home.logs.glob(f"{program}.log"))


async def _follow(home: Home, program: str, tails: dict[Path, LogTail], *, as_json: bool) -> None:
    """Show what is added, also to the logs of programs that start later."""
    while True:
        for file in _files(home, program):
            tail = tails.setdefault(file, LogTail(file))
            for text in tail.more():
                _show_line(tail.name, text, as_json=as_json)
        await asyncio.sleep(_POLL_S)


def _show_line(name: str, text: str, *, as_json: bool) -> None:
    if as_json:
        emit({"program": name, "line": text}, indent=None)
    else:
        line((f"{name:<12} ", "cyan"), text)
