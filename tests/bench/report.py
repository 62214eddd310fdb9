"""How figures are shown: a table for people, a document for programs."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.bench.figures import Figure


def number(value: float | None) -> str:
    """Three significant digits or so; nothing for None."""
    if value is None:
        return ""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def table(figures: Sequence[Figure]) -> Table:
    """One row for each figure, a line between the parts."""
    shown = Table("part", "figure", title="make bench", title_justify="left")
    for heading in ("value", "unit", "× echo", "ratio", "to", "goal"):
        shown.add_column(heading, justify="left" if heading in ("unit", "to", "goal") else "right", no_wrap=True)
    before = ""
    for figure in figures:
        if before and before != figure.part:
            shown.add_section()
        part = "" if figure.part == before else figure.part
        before = figure.part
        values = (number(figure.value), figure.unit, number(figure.echo), number(figure.ratio))
        shown.add_row(part, figure.name, *values, figure.against, figure.goal)
    return shown


def environment() -> dict[str, object]:
    """Where the figures come from. The load average counts what else runs: above the cores, waiting is measured too."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "load_average_1m": round(os.getloadavg()[0], 2),
        "machine": platform.machine(),
        "python": platform.python_version(),
    }


def document(figures: Sequence[Figure], began: dict[str, object], ended: dict[str, object]) -> dict[str, object]:
    """The same for programs."""
    return {"environment": {"before": began, "after": ended}, "figures": [asdict(figure) for figure in figures]}
