"""Compares every RPC and every statement of a mesh with empty tables and one with full tables: which grows most."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import TYPE_CHECKING

import uvloop
from rich.console import Console
from rich.table import Table as Shown

from tests.bench.figures import percentile
from tests.bench.growth.calls import CALLS
from tests.bench.growth.measure import Growth, measure
from tests.bench.report import number
from tests.bench.rig import running

if TYPE_CHECKING:
    from collections.abc import Sequence

SLOWEST = 25
LEAST_MS = 0.2
"""Statements below this mean with full tables are not told: their ratio is noise."""


def table(growth: Growth) -> Shown:
    """A row for each call, those that grow most first."""
    shown = Shown("rpc", title="p95 of each call, in ms", title_justify="left")
    for heading in ("calls", "empty", "full", "ratio"):
        shown.add_column(heading, justify="right")
    for name in sorted(CALLS, key=growth.ratio, reverse=True):
        empty, full = (percentile(taken.get(name) or [0.0], 0.95) * 1_000 for taken in (growth.empty, growth.full))
        calls = str(len(growth.full.get(name, ())))
        shown.add_row(name, calls, number(empty), number(full), number(growth.ratio(name)))
    return shown


def statements(growth: Growth) -> Shown:
    """The statements that cost most with full tables, with their ratio where they ran with empty ones, too."""
    shown = Shown("context", "statement", title="mean of statements, in ms", title_justify="left")
    for heading in ("calls", "empty", "full", "ratio"):
        shown.add_column(heading, justify="right")
    found = sorted(growth.statements_full.items(), key=lambda item: item[1].mean_ms, reverse=True)
    for key, full in [item for item in found if item[1].mean_ms >= LEAST_MS][:SLOWEST]:
        empty = growth.statements_empty.get(key)
        before = (number(empty.mean_ms), number(full.mean_ms / max(empty.mean_ms, 1e-6))) if empty else ("", "")
        text = " ".join(full.text.split())[:90]
        shown.add_row(full.context, text, str(full.calls), before[0], number(full.mean_ms), before[1])
    return shown


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures and shows; ends with the call that grows most."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.growth", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of each table, of 1,000 tenants")
    parser.add_argument("--times", type=int, default=20, help="rounds of calls to both meshes")
    given = parser.parse_args(arguments)
    progress = Console(stderr=True)
    with (
        running(embedded=False) as empty,
        running(embedded=False) as full,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        growth = runner.run(measure(empty, full, given.rows, given.times, progress.print))
    console = Console() if sys.stdout.isatty() else Console(width=170)
    console.print(statements(growth))
    console.print(table(growth))
    if growth.copied_from_nothing:
        console.print("filled with rows of no content:", ", ".join(growth.copied_from_nothing))
    for failure in growth.failed:
        console.print(failure, highlight=False, markup=False)
    worst = max(CALLS, key=growth.ratio)
    console.print(f"worst: {worst} {growth.ratio(worst):.2f}", highlight=False)
    return 1 if growth.failed else 0


if __name__ == "__main__":
    sys.exit(main())
