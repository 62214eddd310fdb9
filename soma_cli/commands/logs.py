"""`soma logs`: the logs of the programs of the mesh."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from mesh import contexts
from soma_cli.errors import CommandError
from soma_cli.output import Json, print_json, print_line
from soma_cli.tail import LogReader
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
    program = _program_pattern(home, name)
    files = _log_files(home, program)
    if not files and (name or not follow):
        available = ", ".join(file.stem for file in _log_files(home, "*")) or "none yet"
        raise CommandError(f"no log of {name or 'anything'} in {home.logs}; there are: {available}")
    readers = {file: LogReader(file) for file in files}
    for reader in readers.values():
        for text in reader.read_last(lines):
            _show_line(reader.name, text, as_json=as_json)
    if follow:
        asyncio.run(_follow(home, program, readers, as_json=as_json))


def _program_pattern(home: Home, name: str) -> str:
    """Returns a program's name, or the name of the program that serves a context; `*` for no name."""
    if name not in {context.name for context in contexts.installed()}:
        return name or "*"
    state = StateFile(home).read()
    return f"svc-{name}" if state is not None and state.process_per_service else ALL_IN_ONE


def _log_files(home: Home, program: str) -> list[Path]:
    return sorted(home.logs.glob(f"{program}.log"))


async def _follow(home: Home, program: str, readers: dict[Path, LogReader], *, as_json: bool) -> None:
    """Shows appended lines, also of programs that start later."""
    while True:
        for file in _log_files(home, program):
            reader = readers.setdefault(file, LogReader(file))
            for text in reader.read_new():
                _show_line(reader.name, text, as_json=as_json)
        await asyncio.sleep(_POLL_S)


def _show_line(name: str, text: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"program": name, "line": text}, indent=None)
    else:
        print_line((f"{name:<12} ", "cyan"), text)
