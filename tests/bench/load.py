"""Load: calls at a fixed rate whether or not the earlier ones have answered, or by a fixed number of callers."""

from __future__ import annotations

import asyncio
import gc
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import grpc.aio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    Caller = Callable[[], Awaitable[object]]


@dataclass
class Load:
    """What became of a load: latencies in seconds of the calls that were answered, failures by their code."""

    seconds: float
    latencies: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)

    @property
    def rate(self) -> float:
        """Answered calls a second."""
        return len(self.latencies) / self.seconds if self.seconds else 0.0

    @property
    def failed(self) -> int:
        """Calls that were refused or failed."""
        return self.failures.total()

    async def call(self, call: Caller, since: float) -> None:
        """Makes one call; its latency counts from `since`."""
        try:
            await call()
        except grpc.aio.AioRpcError as error:
            self.failures[error.code().name] += 1
        else:
            self.latencies.append(time.perf_counter() - since)


@contextmanager
def gc_disabled() -> Iterator[None]:
    """No collection of the caller's own garbage: a pause of a tenth of a second would count as the server's."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


async def open_loop(calls: Sequence[Caller], rate: float, seconds: float) -> Load:
    """Starts `rate` calls a second, taking turns; a late start counts as latency, as it does for a real caller."""
    load = Load(seconds)
    with gc_disabled():
        start = time.perf_counter() + 0.05
        async with asyncio.TaskGroup() as group:
            for number in range(int(rate * seconds)):
                due = start + number / rate
                wait = due - time.perf_counter()
                if wait > 0:
                    await asyncio.sleep(wait)
                group.create_task(load.call(calls[number % len(calls)], due))
    load.seconds = time.perf_counter() - start
    return load


async def closed_loop(calls: Sequence[Caller], seconds: float) -> Load:
    """Each caller calls again once it is answered."""
    load = Load(seconds)
    with gc_disabled():
        start = time.perf_counter()

        async def again(call: Caller) -> None:
            while time.perf_counter() < start + seconds:
                await load.call(call, time.perf_counter())

        await asyncio.gather(*map(again, calls))
    load.seconds = time.perf_counter() - start
    return load
