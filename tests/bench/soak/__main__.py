"""Measures an innocent tenant alone, then beside two hostile ones, and says how its p95 changed and what restarted."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections import Counter
from typing import TYPE_CHECKING

import uvloop
from rich.console import Console

from soma_local.supervisor import StateFile
from tests.bench.figures import percentile
from tests.bench.rig import running
from tests.bench.soak.attacker import Options, attacking
from tests.bench.soak.normal_tenant import WORK, NormalTenant
from tests.bench.soak.rest import client_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.bench.rig import Rig

HOSTILE = 2
MOST = 2.0
"""How many times its p95 alone the innocent tenant's p95 beside the others may be."""
ROLES = ("viewer", "member", "admin")


async def new_key(rig: Rig, name: str) -> str:
    """An administrator's key of a new tenant."""
    return await asyncio.to_thread(rig.tenant_key, f"{name}-{os.urandom(3).hex()}", "pro", ROLES)


def restarts(rig: Rig) -> dict[str, int]:
    """How often each program was started again."""
    state = StateFile(rig.home).running()
    if state is None:
        return {"supervisor": 1}
    return {program.name: program.restarts for program in state.programs}


async def soak(rig: Rig, quiet_s: float, noisy_s: float, console: Console) -> bool:
    """The comparison; True when nothing restarted, nothing of the innocent tenant failed, and it was not slowed."""
    authority = str(rig.authority)
    hostile = [
        Options(rig.url, authority, await new_key(rig, f"hostile{number}"), number * 3) for number in range(HOSTILE)
    ]
    async with client_of(rig.url, authority, await new_key(rig, "innocent")) as client:
        warm, quiet, noisy = NormalTenant(), NormalTenant(), NormalTenant()
        await warm.work(client, 10)
        await quiet.work(client, quiet_s)
        before, seen = restarts(rig), Counter[str]()
        with attacking(*hostile) as attackers:
            await noisy.work(client, noisy_s)
        for attacker in attackers:
            seen.update(attacker.answers)
    again = {name: count - before.get(name, 0) for name, count in restarts(rig).items() if count != before.get(name, 0)}
    for line in sorted(seen.items()):
        console.print(f"  {line[0]}: {line[1]}", highlight=False)
    ratios: dict[str, float] = {}
    for name in WORK:
        alone, beside = percentile(quiet.seconds[name], 0.95), percentile(noisy.seconds[name] or [0.0], 0.95)
        console.print(
            f"{name}: p95 {alone * 1e3:.0f} ms alone ({len(quiet.seconds[name])} times), {beside * 1e3:.0f} ms beside "
            f"({len(noisy.seconds[name])} times), ratio {beside / alone:.2f}", highlight=False,
        )  # fmt: skip
        ratios[name] = beside / alone
    console.print(f"failed: {len(noisy.failed)} {noisy.failed[:5]}", highlight=False)
    console.print(f"restarts: {again or 'none'}", highlight=False)
    worst = max(ratios, key=lambda name: ratios[name])
    console.print(f"worst: {worst} {ratios[worst]:.2f}", highlight=False)
    return not again and not noisy.failed and ratios[worst] <= MOST


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs and shows."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="how long the hostile tenants send")
    parser.add_argument("--quiet", type=float, default=3.0, help="how many minutes the innocent tenant is alone before")
    parser.add_argument("--mesh", action="store_true", help="a process for each context, not one for all")
    given = parser.parse_args(arguments)
    console = Console(width=150)
    with (
        running(embedded=not given.mesh) as rig,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        sound = runner.run(soak(rig, given.quiet * 60, given.minutes * 60, console))
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
