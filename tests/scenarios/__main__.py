"""Runs the scenarios against a mesh of their own and says of each whether what happened is what was expected."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from typing import TYPE_CHECKING

import uvloop
from rich.console import Console
from rich.table import Table

from tests.bench.rig import running
from tests.conformance.site import Site
from tests.scenarios.catalogue import SCENARIOS
from tests.scenarios.scenario import Outcome, Verdict, outcome
from tests.scenarios.world import PaidProvider, World

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.bench.rig import Rig
    from tests.scenarios.scenario import Scenario

LOOPBACK = "SA01_EXECUTOR_EGRESS_LOOPBACK"


async def run(
    rig: Rig, provider: PaidProvider, site: Site, scenarios: Sequence[Scenario], console: Console
) -> list[Outcome]:
    """One after the other, since they stop and kill what others would need."""
    outcomes = list[Outcome]()
    async with World.open(rig, provider, site) as world:
        for scenario in scenarios:
            found = await outcome(scenario, world)
            line = f"{scenario.number} {scenario.title}: {found}: {found.happened}"
            console.print(line, highlight=False, markup=False, soft_wrap=True)
            outcomes.append(found)
    return outcomes


def table(outcomes: Sequence[Outcome]) -> Table:
    """A row for each scenario."""
    shown = Table("number", "scenario", "what was expected", "what happened", "", title="scenarios")
    for each in outcomes:
        scenario = each.scenario
        shown.add_row(str(scenario.number), scenario.title, scenario.expected, each.happened, str(each))
    return shown


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs and shows; 1 when one is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.scenarios", description=__doc__)
    parser.add_argument("numbers", nargs="*", type=int, help="which ones; none: all", metavar="NUMBER")
    parser.add_argument("--mesh", action="store_true", help="a process for each context, not one for all")
    given = parser.parse_args(arguments)
    unknown = set(given.numbers) - set(SCENARIOS)
    if unknown:
        parser.error(f"there is no scenario {min(unknown)}")
    chosen = [SCENARIOS[number] for number in given.numbers] or list(SCENARIOS.values())
    console = Console(stderr=True)
    provider, site = PaidProvider(), Site()
    with provider, site:
        os.environ[LOOPBACK] = f"{provider.authority},{site.authority}"
        with (
            running(embedded=not given.mesh) as rig,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            outcomes = runner.run(run(rig, provider, site, chosen, console))
    console = Console() if sys.stdout.isatty() else Console(width=200)
    console.print(table(outcomes), markup=False)
    return 1 if any(each.verdict is Verdict.WRONG for each in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
