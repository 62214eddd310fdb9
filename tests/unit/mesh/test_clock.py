"""The machine's clock, and the one that tests turn."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from mesh.clock import SystemClock
from mesh.testing import FakeClock


async def test_the_systems_clock_is_aware_and_goes_on() -> None:
    clock = SystemClock()
    before = clock.monotonic()
    assert clock.now().utcoffset() == timedelta(0)
    await clock.sleep(-1)
    assert clock.monotonic() >= before


async def test_a_fake_clock_stands_still_until_it_is_turned() -> None:
    clock = FakeClock()
    start = clock.now()
    sleeper = asyncio.create_task(clock.sleep(10))
    assert await clock.sleeper() == 10
    await clock.advance(9.5)
    assert not sleeper.done()
    await clock.advance(0.5)
    assert sleeper.done()
    assert clock.now() - start == timedelta(seconds=10)


async def test_sleepers_wake_in_the_order_of_their_times_and_see_their_own() -> None:
    clock = FakeClock()
    woken: list[float] = []

    async def sleep(seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append(clock.monotonic())

    tasks = [asyncio.create_task(sleep(seconds)) for seconds in (3, 1, 2)]
    await clock.sleeper()
    await asyncio.sleep(0)
    await clock.advance(5)
    await asyncio.gather(*tasks)
    assert woken == [1, 2, 3]


async def test_a_sleeper_that_was_cancelled_does_not_count() -> None:
    clock = FakeClock()
    task = asyncio.create_task(clock.sleep(1))
    await clock.sleeper()
    task.cancel()
    await asyncio.wait((task,))
    waiting = asyncio.create_task(clock.sleeper())
    other = asyncio.create_task(clock.sleep(7))
    assert await waiting == 7
    await clock.advance(7)
    await other
