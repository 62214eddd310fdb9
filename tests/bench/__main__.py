"""Runs every measurement and shows a table, or JSON."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop
from rich.console import Console
from rich.table import Table

from mesh.local.home import Home
from mesh.local.ports import free_port
from tests.bench import edge, ingest, jobs, selecting
from tests.e2e.conftest import Running

if TYPE_CHECKING:
    from tests.bench.figures import Figure


async def everything(running: Running) -> list[Figure]:
    """All figures of a mesh that runs."""
    figures, bare = await selecting.measure(running)
    figures += await edge.measure(running, bare)
    figures += await jobs.measure(running)
    return figures + await ingest.measure(running)


def measure() -> list[Figure]:
    """All figures; the mesh runs in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        running = Running(Home(Path(folder)), free_port())
        up = running.soma("up", "--detach", "--port", str(running.port))
        try:
            if up.returncode:
                sys.exit(up.stdout + up.stderr)
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                return runner.run(everything(running))
        finally:
            running.soma("down")


def show(figures: list[Figure]) -> None:
    """The table for people."""
    table = Table("figure", "value", "unit", "ratio", "to", "goal")
    for figure in figures:
        ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
        table.add_row(figure.name, f"{figure.value:.2f}", figure.unit, ratio, figure.against, figure.goal)
    Console().print(table)


def main() -> None:
    """Measures and shows."""
    figures = measure()
    if "--json" in sys.argv:
        print(json.dumps([asdict(figure) for figure in figures], indent=2))
    else:
        show(figures)


if __name__ == "__main__":
    main()
