"""A component that other contexts report on is unknown while none of them reports."""

from __future__ import annotations

import asyncio

import pytest

from mesh.degradation import DegradationLevel
from mesh.errors import Reason, SomaError
from mesh.testing import FakeClock
from svc_gateway.app.health_monitor import Check, CheckTiming, HealthMonitor
from svc_gateway.domain.degradation import State, Thresholds, UnknownHealthError


class IndirectDependency:
    """Fails with the error that is set."""

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.check = Check("blobs", self.probe, indirect=True)

    async def probe(self) -> None:
        if self.failure is not None:
            raise self.failure


@pytest.fixture
def dependency() -> IndirectDependency:
    return IndirectDependency()


@pytest.fixture
def monitor(dependency: IndirectDependency) -> HealthMonitor:
    return HealthMonitor([dependency.check], CheckTiming(), Thresholds(min_hold_s=0), FakeClock())


async def test_what_nobody_said_yet_is_unknown_with_the_reason(
    monitor: HealthMonitor, dependency: IndirectDependency
) -> None:
    dependency.failure = UnknownHealthError("svc_assets cannot be reached")
    part = await monitor.check_once(dependency.check)
    assert (part.state, part.level, part.reason) == (
        State.UNKNOWN,
        DegradationLevel.UNKNOWN,
        "svc_assets cannot be reached",
    )
    assert monitor.report.unhealthy == ()


async def test_what_nobody_can_say_any_more_is_unknown_after_some_evidence(
    monitor: HealthMonitor, dependency: IndirectDependency
) -> None:
    await monitor.check_once(dependency.check)
    dependency.failure = UnknownHealthError("svc_assets cannot be reached")
    assert (await monitor.check_once(dependency.check)).state is State.HEALTHY
    assert (await monitor.check_once(dependency.check)).state is State.UNKNOWN


async def test_a_silence_in_between_is_no_evidence(monitor: HealthMonitor, dependency: IndirectDependency) -> None:
    for failure in (None, UnknownHealthError("x"), None, UnknownHealthError("x")):
        dependency.failure = failure
        part = await monitor.check_once(dependency.check)
    assert part.state is State.HEALTHY


async def test_who_does_not_answer_in_time_says_nothing(dependency: IndirectDependency) -> None:
    never = asyncio.Event()
    check = Check("blobs", never.wait, indirect=True, deadline_s=3.0)  # type: ignore[arg-type]
    clock = FakeClock()
    monitor = HealthMonitor([check], CheckTiming(), Thresholds(), clock)
    checking = asyncio.create_task(monitor.check_once(check))
    await clock.sleeper()
    await clock.advance(3.0)
    part = await checking
    assert (part.state, part.reason) == (State.UNKNOWN, "the context that reports it does not answer within 3 s")


async def test_what_is_said_to_be_lost_degrades_the_mesh_but_not_critically(
    monitor: HealthMonitor, dependency: IndirectDependency
) -> None:
    dependency.failure = SomaError(Reason.DEPENDENCY_UNAVAILABLE, "cannot be written")
    await monitor.check_once(dependency.check)
    assert (monitor.report.level, monitor.report.reason) == (DegradationLevel.SEVERE, "blobs: cannot be written")
    assert monitor.report.unhealthy == ("blobs",)
