"""Whether an innocent tenant goes on being answered while somebody else's input is at work.

How long an answer takes says little on a loaded machine. What a service that is held up does, whatever the load, is to
use the processor without answering: that is measured, the processor time of its process between two answers.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx
import psutil

from tests.chaos.contexts.replicas.replica_run import ROUTES
from tests.scenarios.scenario import expect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.scenarios.world import World

BUSY_S = 2.0
"""Most processor time of a service between two answers; the defects took from 3 s to hours."""
SILENT_S = 90.0
"""Longest time between two answers, at any load."""
_PAUSE_S = 0.1


@dataclass
class Watch:
    """How a context answered: the longest silence, and the most processor time its service used within one."""

    context: str
    answers: int = 0
    silent_s: float = 0.0
    busy_s: float = 0.0
    refused: set[str] = field(default_factory=set)

    def __str__(self) -> str:
        return (
            f"{self.context} {self.answers} answers, {self.busy_s:.1f} s busy and {self.silent_s:.1f} s at most between"
        )


@asynccontextmanager
async def watching(world: World, *contexts: str) -> AsyncIterator[list[Watch]]:
    """Asks the contexts as the innocent tenant meanwhile; raises WrongError when one is held up or started again."""
    before, over = world.restarts(), asyncio.Event()
    watches = [Watch(context) for context in contexts]
    tasks = [asyncio.create_task(_follow(world, watch, over)) for watch in watches]
    try:
        yield watches
    finally:
        over.set()
        await asyncio.gather(*tasks)
    text = "; ".join(map(str, watches))
    expect(world.restarts() == before, f"restarted: {before} → {world.restarts()}")
    expect(all(watch.answers for watch in watches), f"not answered: {text}")
    expect(max(watch.busy_s for watch in watches) < BUSY_S, f"held up: {text}")
    expect(max(watch.silent_s for watch in watches) < SILENT_S, f"silent: {text} {[w.refused for w in watches]}")


async def _follow(world: World, watch: Watch, over: asyncio.Event) -> None:
    """Asks again and again, and once more after the end, so that the last silence counts."""
    process = psutil.Process(world.rig.context_pid(watch.context))
    answered, used = time.monotonic(), _used(process)
    last = False
    while True:
        last = last or over.is_set()
        began = time.monotonic()
        good = await _asked(world, watch)
        now, using = time.monotonic(), _used(process)
        watch.silent_s = max(watch.silent_s, now - answered)
        watch.busy_s = max(watch.busy_s, using - used)
        if good:
            watch.answers += 1
            answered, used = now, using
        if last and (good or now - answered > SILENT_S):
            return
        await asyncio.sleep(max(0.0, began + _PAUSE_S - now))


async def _asked(world: World, watch: Watch) -> bool:
    try:
        answer = await world.innocent.call("GET", ROUTES[watch.context], params={"page_size": 1}, timeout=SILENT_S)
    except httpx.TransportError as error:
        watch.refused.add(type(error).__name__)
        return False
    if not answer.is_success:
        watch.refused.add(str(answer.status_code))
    return answer.is_success


def _used(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
