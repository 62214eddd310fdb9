"""Measures an innocent tenant alone, then beside two hostile ones, and says how its p95 changed and what restarted."""

from __future__ import annotations

import argparse
import asyncio
import os
import ssl
import sys
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import httpx
import uvloop
from rich.console import Console

from mesh.local.supervisor import StateFile
from tests.bench.figures import percentile
from tests.bench.rig import running
from tests.bench.soak.hostile import attack
from tests.bench.soak.normal_tenant import WORK, NormalTenant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.bench.rig import Rig

HOSTILE, AT_ONCE = 2, 6
ROLES = ("viewer", "member", "admin")


async def tenant(rig: Rig, name: str) -> httpx.AsyncClient:
    """A new tenant with an administrator's key."""
    tenant_id = f"{name}-{os.urandom(3).hex()}"
    return client_of(rig, await asyncio.to_thread(rig.tenant_key, tenant_id, "pro", ROLES))


def client_of(rig: Rig, credential: str) -> httpx.AsyncClient:
    """REST through the edge."""
    trust = ssl.create_default_context(cafile=str(rig.authority))
    limits = httpx.Limits(max_connections=64)
    headers = {"authorization": f"Bearer {credential}"}
    return httpx.AsyncClient(
        base_url=rig.url, headers=headers, verify=trust, timeout=120, trust_env=False, limits=limits
    )


def restarts(rig: Rig) -> dict[str, int]:
    """How often each program was started again."""
    state = StateFile(rig.home).running()
    if state is None:
        return {"supervisor": 1}
    return {program.name: program.restarts for program in state.programs}


async def soak(rig: Rig, quiet_s: float, noisy_s: float, console: Console) -> bool:
    """The comparison; True when nothing restarted and nothing of the innocent tenant failed."""
    async with AsyncExitStack() as stack:
        names = ["innocent", *(f"hostile{number}" for number in range(HOSTILE))]
        clients = [await stack.enter_async_context(await tenant(rig, name)) for name in names]
        warm, quiet, noisy = NormalTenant(), NormalTenant(), NormalTenant()
        await warm.work(clients[0], 10)
        await quiet.work(clients[0], quiet_s)
        before, seen = restarts(rig), dict[str, int]()
        attacks = [
            asyncio.create_task(attack(client, number * 3 + offset, seen))
            for number, client in enumerate(clients[1:])
            for offset in range(AT_ONCE)
        ]
        await noisy.work(clients[0], noisy_s)
        for task in attacks:
            task.cancel()
        await asyncio.gather(*attacks, return_exceptions=True)
    again = {name: count - before.get(name, 0) for name, count in restarts(rig).items() if count != before.get(name, 0)}
    for line in sorted(seen.items()):
        console.print(f"  {line[0]}: {line[1]}", highlight=False)
    for name in WORK:
        alone, beside = percentile(quiet.seconds[name], 0.95), percentile(noisy.seconds[name] or [0.0], 0.95)
        console.print(
            f"{name}: p95 {alone * 1e3:.0f} ms alone ({len(quiet.seconds[name])} times), {beside * 1e3:.0f} ms beside "
            f"({len(noisy.seconds[name])} times), ratio {beside / alone:.2f}", highlight=False,
        )  # fmt: skip
    console.print(f"failed: {len(noisy.failed)} {noisy.failed[:5]}", highlight=False)
    console.print(f"restarts: {again or 'none'}", highlight=False)
    return not again and not noisy.failed


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
