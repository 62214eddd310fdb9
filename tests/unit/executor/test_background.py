"""When the executor does what it does by itself."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from types import SimpleNamespace

from mesh.testing import FakeClock
from mesh.testing.contract import eventually
from svc_executor.bootstrap.background import Sweeps, start_sweeps


class ErasingOnDemand:
    """Stands for the erasure of texts; `marked` ends its waits."""

    def __init__(self) -> None:
        self.marked = asyncio.Event()
        self.runs = 0

    async def __call__(self) -> None:
        self.runs += 1

    async def wait(self, _: float) -> None:
        await self.marked.wait()
        self.marked.clear()

    async def count_unfinished(self) -> None: ...


async def nothing(*_: object) -> None: ...


async def test_texts_are_erased_as_soon_as_an_asset_is_marked() -> None:
    erasing = ErasingOnDemand()
    async with AsyncExitStack() as stack:
        mesh = SimpleNamespace(clock=FakeClock(), enter=stack.enter_async_context)
        sweeps = Sweeps(nothing, nothing, nothing, nothing, erasing)  # type: ignore[arg-type]
        await start_sweeps(mesh, sweeps, start_after_s=30.0, interval_s=30.0)  # type: ignore[arg-type]
        await eventually(lambda: erasing.runs == 1)
        erasing.marked.set()
        await eventually(lambda: erasing.runs == 2)
