"""Components that are starting are unknown, and those that respond slowly are degraded while they do."""

from __future__ import annotations

import asyncio

import pytest

from mesh.degradation import DegradationLevel
from mesh.testing import FakeClock
from svc_gateway.app.health_monitor import Check, CheckTiming, HealthMonitor
from svc_gateway.domain.degradation import State, Thresholds

START_S = 15.0


class Part:
    """Fails until it is up."""

    def __init__(self) -> None:
        self.up = False
        self.check = Check("part", self.probe, critical=True)

    async def probe(self) -> None:
        if not self.up:
            raise OSError


@pytest.fixture
def part() -> Part:
    return Part()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def monitor(part: Part, clock: FakeClock) -> HealthMonitor:
    return HealthMonitor([part.check], CheckTiming(start_s=START_S), Thresholds(), clock)


async def test_a_part_that_is_still_starting_is_unknown(monitor: HealthMonitor, part: Part) -> None:
    assert (await monitor.check_once(part.check)).state is State.UNKNOWN
    assert monitor.report.level is DegradationLevel.UNKNOWN


async def test_a_part_that_came_up_is_healthy_at_once(monitor: HealthMonitor, part: Part) -> None:
    await monitor.check_once(part.check)
    part.up = True
    assert (await monitor.check_once(part.check)).state is State.HEALTHY
    assert monitor.report.level is DegradationLevel.NONE


async def test_a_part_that_did_not_come_up_in_time_is_lost(
    monitor: HealthMonitor, part: Part, clock: FakeClock
) -> None:
    await monitor.check_once(part.check)
    await clock.advance(START_S)
    assert (await monitor.check_once(part.check)).level is DegradationLevel.CRITICAL


@pytest.mark.parametrize(
    ("waited_s", "level"),
    [
        (4, DegradationLevel.NONE),
        (9, DegradationLevel.MINOR),
        (14, DegradationLevel.MODERATE),
        (19, DegradationLevel.SEVERE),
    ],
)
async def test_a_part_that_lets_wait_is_judged_while_it_does(
    clock: FakeClock, waited_s: int, level: DegradationLevel
) -> None:
    silent, answering = asyncio.Event(), asyncio.Event()
    answering.set()

    async def probe() -> None:
        await (answering if answering.is_set() else silent).wait()

    check = Check("part", probe)
    monitor = HealthMonitor([check], CheckTiming(), Thresholds(min_hold_s=0), clock)
    await monitor.check_once(check)
    answering.clear()
    checking = asyncio.create_task(monitor.check_once(check))
    await clock.sleeper()
    for _ in range(waited_s):
        await clock.advance(1)
    [part] = monitor.report.components
    assert (part.state, part.level) == (State.HEALTHY, level)
    silent.set()
    await checking


async def test_a_part_without_an_answer_before_the_deadline_is_lost(clock: FakeClock) -> None:
    silent, answering = asyncio.Event(), asyncio.Event()
    answering.set()

    async def probe() -> None:
        await (answering if answering.is_set() else silent).wait()

    check = Check("part", probe)
    monitor = HealthMonitor([check], CheckTiming(), Thresholds(min_hold_s=0), clock)
    await monitor.check_once(check)
    answering.clear()
    checking = asyncio.create_task(monitor.check_once(check))
    while not checking.done():
        await clock.sleeper()
        await clock.advance(1)
    assert ((await checking).state, (await checking).reason) == (State.UNHEALTHY, "does not answer within 20 s")
    again = asyncio.create_task(monitor.check_once(check))
    await clock.sleeper()
    for _ in range(19):
        await clock.advance(1)
    assert monitor.report.unhealthy == ("part",)
    again.cancel()
    await asyncio.gather(again, return_exceptions=True)


async def test_a_part_that_never_answered_is_unknown_until_the_deadline(clock: FakeClock) -> None:
    check = Check("part", asyncio.Event().wait)  # type: ignore[arg-type]
    monitor = HealthMonitor([check], CheckTiming(), Thresholds(min_hold_s=0), clock)
    checking = asyncio.create_task(monitor.check_once(check))
    await clock.sleeper()
    for _ in range(19):
        await clock.advance(1)
    assert monitor.report.unknown == ("part",)
    await clock.sleeper()
    await clock.advance(1)
    assert (await checking).state is State.UNHEALTHY


async def test_a_part_that_was_well_is_lost_whenever_it_fails(
    monitor: HealthMonitor, part: Part, clock: FakeClock
) -> None:
    part.up = True
    await monitor.check_once(part.check)
    part.up = False
    for _ in range(Thresholds().consecutive_checks):
        await clock.advance(1)
        found = await monitor.check_once(part.check)
    assert found.state is State.HEALTHY  # held for a while, lest it flaps
    await clock.advance(Thresholds().min_hold_s)
    assert (await monitor.check_once(part.check)).level is DegradationLevel.CRITICAL
