"""Parts that others are asked about are unknown while nobody can say."""

from __future__ import annotations

import asyncio

import pytest

from mesh.errors import Reason, SomaError
from mesh.testing import FakeClock
from svc_gateway.app.monitor import Check, Monitor, Pace
from svc_gateway.domain.degradation import Level, State, Thresholds, UntoldError


class Rumour:
    """Says what it is told to."""

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.check = Check("blobs", self.ask, hearsay=True)

    async def ask(self) -> None:
        if self.failure is not None:
            raise self.failure


@pytest.fixture
def rumour() -> Rumour:
    return Rumour()


@pytest.fixture
def monitor(rumour: Rumour) -> Monitor:
    return Monitor([rumour.check], Pace(), Thresholds(hold_s=0), FakeClock())


async def test_what_nobody_said_yet_is_unknown_with_the_reason(monitor: Monitor, rumour: Rumour) -> None:
    rumour.failure = UntoldError("svc_assets cannot be reached")
    part = await monitor.check_once(rumour.check)
    assert (part.state, part.level, part.reason) == (State.UNKNOWN, Level.UNKNOWN, "svc_assets cannot be reached")
    assert monitor.report.unhealthy == ()


async def test_what_nobody_can_say_any_more_is_unknown_after_some_evidence(monitor: Monitor, rumour: Rumour) -> None:
    await monitor.check_once(rumour.check)
    rumour.failure = UntoldError("svc_assets cannot be reached")
    assert (await monitor.check_once(rumour.check)).state is State.HEALTHY
    assert (await monitor.check_once(rumour.check)).state is State.UNKNOWN


async def test_a_silence_in_between_is_no_evidence(monitor: Monitor, rumour: Rumour) -> None:
    for failure in (None, UntoldError("x"), None, UntoldError("x")):
        rumour.failure = failure
        part = await monitor.check_once(rumour.check)
    assert part.state is State.HEALTHY


async def test_who_does_not_answer_in_time_says_nothing(rumour: Rumour) -> None:
    never = asyncio.Event()
    check = Check("blobs", never.wait, hearsay=True, deadline_s=3.0)  # type: ignore[arg-type]
    clock = FakeClock()
    monitor = Monitor([check], Pace(), Thresholds(), clock)
    checking = asyncio.create_task(monitor.check_once(check))
    await clock.sleeper()
    await clock.advance(3.0)
    part = await checking
    assert (part.state, part.reason) == (State.UNKNOWN, "who knows of it does not answer within 3 s")


async def test_what_is_said_to_be_lost_degrades_the_mesh_but_not_critically(monitor: Monitor, rumour: Rumour) -> None:
    rumour.failure = SomaError(Reason.DEPENDENCY_UNAVAILABLE, "cannot be written")
    await monitor.check_once(rumour.check)
    assert (monitor.report.level, monitor.report.reason) == (Level.SEVERE, "blobs: cannot be written")
    assert monitor.report.unhealthy == ("blobs",)
