"""Checks the health of every component of the mesh, each with its own deadline, and publishes changes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mesh import tasks
from mesh.degradation import DegradationLevel
from mesh.errors import SomaError
from mesh.telemetry import gauge, histogram
from svc_gateway.domain.degradation import (
    Component,
    HealthTracker,
    Observation,
    ProbeResult,
    Report,
    State,
    Thresholds,
    UnknownHealthError,
    assess_mesh,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from mesh.clock import Clock
    from svc_gateway.app.ports import Probe

_STARTUP_PAUSE_S = 0.25


@dataclass(frozen=True)
class Check:
    """A health check of one component.

    A check is `indirect` when it asks other contexts about the component: the component's health is then unknown,
    not bad, when there is no response within `deadline_s` (None: the default of CheckTiming).
    """

    name: str
    probe: Probe
    critical: bool = False
    indirect: bool = False
    deadline_s: float | None = None


@dataclass(frozen=True)
class CheckTiming:
    """Interval and deadline of checks, and how long components may take to start, in seconds."""

    every_s: float = 2.0
    deadline_s: float = 20.0
    start_s: float = 0.0


class HealthMonitor:
    """Tracks the health of all components while `run` runs."""

    def __init__(self, checks: Sequence[Check], timing: CheckTiming, thresholds: Thresholds, clock: Clock) -> None:
        self._checks = checks
        self._timing = timing
        self._clock = clock
        self._starting_until = clock.monotonic() + timing.start_s
        self._slow_s = thresholds.minor_s
        self._trackers = {
            check.name: HealthTracker(Component(check.name, check.critical), thresholds) for check in checks
        }
        self._report = self._assess()
        self._changed = asyncio.Condition()
        self._seconds = histogram("dependency_check_seconds", "Duration of checks of the mesh's parts.", ("component",))
        self._level = gauge("degradation_level", "Level of each part, 1 (none) to 5 (critical).", ("component",))
        for check in checks:
            self._level.labels(check.name).set(DegradationLevel.UNKNOWN)

    @property
    def report(self) -> Report:
        """The latest state of the mesh."""
        return self._report

    async def run(self) -> None:
        """Checks all components concurrently, forever."""
        async with asyncio.TaskGroup() as group:
            for check in self._checks:
                group.create_task(self._check_forever(check))

    async def watch(self) -> AsyncGenerator[Report, None]:
        """Yields the report now, and after each visible change."""
        sent: Report | None = None
        while True:
            async with self._changed:
                while sent is not None and _visible_state(sent) == _visible_state(self._report):
                    await self._changed.wait()
                sent = self._report
            yield sent

    async def check_once(self, check: Check) -> Component:
        """Checks one component now; a failure while it may still be starting is ignored."""
        started = self._clock.monotonic()
        tracker = self._trackers[check.name]
        try:
            reason, result = await self._probe(check)
        except UnknownHealthError as error:
            component = tracker.observe_unknown(str(error))
        else:
            now = self._clock.monotonic()
            timed_out = now - started >= self._deadline_s(check)
            observation = Observation(
                not reason, now - started, reason, timed_out=timed_out, calls=result.calls, version=result.version
            )
            if not observation.ok and self._starting(check):
                return tracker.component
            component = tracker.observe(observation, self._clock.now(), now)
            self._seconds.labels(check.name).observe(observation.response_s)
        await self._publish(check, component)
        return component

    async def _publish(self, check: Check, component: Component) -> None:
        self._level.labels(check.name).set(component.level)
        async with self._changed:
            self._report = self._assess()
            self._changed.notify_all()

    async def _probe(self, check: Check) -> tuple[str, ProbeResult]:
        """Returns why the component is unhealthy, empty when it is healthy, and what it reports of itself."""
        results: list[ProbeResult | None] = []

        async def probe() -> None:
            results.append(await check.probe())

        probing = asyncio.create_task(probe())
        try:
            if not await self._wait_for_result(check, probing):
                timeout = f"does not answer within {self._deadline_s(check):g} s"
                if check.indirect:
                    raise UnknownHealthError(f"the context that reports it {timeout}")
                return timeout, ProbeResult()
            probing.result()
        except SomaError as error:
            return error.message, ProbeResult()
        except OSError:
            return "cannot be reached", ProbeResult()
        finally:
            await tasks.end(probing)
        return "", results[0] or ProbeResult()

    async def _wait_for_result(self, check: Check, probing: asyncio.Task[None]) -> bool:
        """Whether there is a result before the deadline; meanwhile the time waited counts as the response time."""
        started = self._clock.monotonic()
        pause = self._slow_s + self._timing.every_s
        while True:
            waited = self._clock.monotonic() - started
            await self._wait_at_most(probing, min(pause, self._deadline_s(check) - waited))
            if probing.done():
                return True
            now = self._clock.monotonic()
            if now - started >= self._deadline_s(check):
                return False
            if not check.indirect:
                pending = Observation(ok=True, response_s=now - started, pending=True)
                await self._publish(check, self._trackers[check.name].observe(pending, self._clock.now(), now))
            pause = self._timing.every_s

    async def _wait_at_most(self, probing: asyncio.Task[None], seconds: float) -> None:
        """Waits for the result, at most some seconds."""
        pause = asyncio.create_task(self._clock.sleep(seconds))
        try:
            await asyncio.wait({probing, pause}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await tasks.end(pause)

    def _deadline_s(self, check: Check) -> float:
        return self._timing.deadline_s if check.deadline_s is None else check.deadline_s

    async def _check_forever(self, check: Check) -> None:
        while True:
            await self.check_once(check)
            pause = min(self._timing.every_s, _STARTUP_PAUSE_S) if self._starting(check) else self._timing.every_s
            await self._clock.sleep(pause)

    def _starting(self, check: Check) -> bool:
        """Whether a component that was never healthy may still be starting: all of a mesh start at the same time."""
        unknown = self._trackers[check.name].component.state is State.UNKNOWN
        return unknown and self._clock.monotonic() < self._starting_until

    def _assess(self) -> Report:
        return assess_mesh(tuple(tracker.component for tracker in self._trackers.values()), self._clock.now())


def _visible_state(report: Report) -> object:
    """What a watcher is notified of: all but the times of checks."""
    components = [(each.name, each.state, each.level, each.version) for each in report.components]
    return report.level, report.reason, components
