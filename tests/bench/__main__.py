"""Runs every measurement and shows a table, or JSON."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from typing import TYPE_CHECKING

import uvloop
from rich.console import Console

from tests.bench import composing, echo, edge, events, ingest, jobs, judging, revoking, selecting
from tests.bench.report import document, environment, table
from tests.bench.rig import running

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tests.bench.echo import EchoBaseline
    from tests.bench.figures import Figure
    from tests.bench.rig import Rig

PARTS: dict[str, Callable[[Rig, EchoBaseline], Awaitable[list[Figure]]]] = {
    "edge": edge.measure,
    "revoke": revoking.measure,
    "jobs": jobs.measure,
    "ingest": ingest.measure,
    "judge": judging.measure,
    "compose": composing.measure,
    "events": events.measure,
    "select": selecting.measure,  # last: what follows its events is busy for a while afterwards
}


async def everything(rig: Rig, parts: Sequence[str], log: Callable[[str], None]) -> list[Figure]:
    """The echo, then the parts, one after the other."""
    log(echo.PART)
    baseline = await echo.measure()
    figures = baseline.figures()
    for part in parts:
        log(part)
        figures += await PARTS[part](rig, baseline)
    return figures


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures and shows; figures are read by people, so none of them fails the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="what to measure; all when absent")
    parser.add_argument("--json", action="store_true", help="JSON instead of the table")
    parser.add_argument("--embedded", action="store_true", help="all contexts in one process, as `soma up` runs them")
    given = parser.parse_args(arguments)
    progress = Console(stderr=True)
    began = environment()
    progress.print("starting the mesh")
    with (
        running(embedded=given.embedded) as rig,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        figures = runner.run(
            everything(rig, given.parts or list(PARTS), lambda part: progress.print(f"measuring {part}"))
        )
    ended = environment()
    if given.json:
        print(json.dumps(document(figures, began, ended), indent=2))
        return 0
    console = Console() if sys.stdout.isatty() else Console(width=150)
    console.print(table(figures))
    console.print(f"before: {began}\nafter: {ended}", highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
