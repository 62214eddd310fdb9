"""Checks every part of the mesh, each with its own deadline, and tells what changed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mesh import tasks
from mesh.degradation import DegradationLevel
from mesh.errors import SomaError
from mesh.telemetry import gauge, histogram
from svc_gateway.domain.degradation import (
    Answer,
    Component,
    HealthTracker,
    Observation,
    Report,
    State,
    Thresholds,
    UnknownHealthError,
    report,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

    from mesh.clock import Clock

_START_PAUSE_S = 0.25


@dataclass(frozen=True)
class Check:
    """How to probe one part: `probe` returns, or raises SomaError or OSError.

    It may return what the part tells of itself. Where `unconfirmed` others are asked about it: `probe` raises
    UnknownHealthError when they do not say, and to be left without an answer within `deadline_s` is the same.
    """

    name: str
    probe: Callable[[], Awaitable[Answer | None]]
    critical: bool = False
    unconfirmed: bool = False
    deadline_s: float | None = None


@dataclass(frozen=True)
class CheckTiming:
    """How often parts are checked, how long one check may take, and how long parts may take to start, in seconds."""

    every_s: float = 2.0
    deadline_s: float = 20.0
    start_s: float = 0.0


class Monitor:
    """Judges the parts. `run` keeps it going."""

    def __init__(self, checks: Sequence[Check], pace: CheckTiming, thresholds: Thresholds, clock: Clock) -> None:
        self._checks = checks
        self._pace = pace
        self._clock = clock
        self._starting_until = clock.monotonic() + pace.start_s
        self._slow_s = thresholds.minor_s
        self._trackers = {c.name: HealthTracker(Component(c.name, c.critical), thresholds) for c in checks}
        self._report = self._judge()
        self._changed = asyncio.Condition()
        self._seconds = histogram("dependency_check_seconds", "Duration of checks of the mesh's parts.", ("component",))
        self._level = gauge("degradation_level", "Level of each part, 1 (none) to 5 (critical).", ("component",))
        for check in checks:
            self._level.labels(check.name).set(DegradationLevel.UNKNOWN)

    @property
    def report(self) -> Report:
        """The mesh as judged last."""
        return self._report

    async def run(self) -> None:
        """Check all parts, each at its own pace, forever."""
        async with asyncio.TaskGroup() as group:
            for check in self._checks:
                group.create_task(self._follow(check))

    async def watch(self) -> AsyncGenerator[Report, None]:
        """The report now, and at each change of what it says."""
        sent: Report | None = None
        while True:
            async with self._changed:
                while sent is not None and _visible_state(sent) == _visible_state(self._report):
                    await self._changed.wait()
                sent = self._report
            yield sent

    async def check_once(self, check: Check) -> Component:
        """Check one part now; a failure while it may still be starting is not held against it."""
        started = self._clock.monotonic()
        tracker = self._trackers[check.name]
        try:
            reason, answer = await self._ask(check)
        except UnknownHealthError as silence:
            part = tracker.observe_unknown(str(silence))
        else:
            now = self._clock.monotonic()
            silent = now - started >= self._deadline_s(check)
            seen = Observation(
                not reason, now - started, reason, silent=silent, calls=answer.calls, version=answer.version
            )
            if not seen.ok and self._starting(check):
                return tracker.component
            part = tracker.observe(seen, self._clock.now(), now)
            self._seconds.labels(check.name).observe(seen.response_s)
        await self._publish(check, part)
        return part

    async def _publish(self, check: Check, part: Component) -> None:
        self._level.labels(check.name).set(part.level)
        async with self._changed:
            self._report = self._judge()
            self._changed.notify_all()

    async def _ask(self, check: Check) -> tuple[str, Answer]:
        """Why the part is not well, empty when it is, and what it tells of itself."""
        answers: list[Answer | None] = []

        async def probe() -> None:
            answers.append(await check.probe())

        probing = asyncio.create_task(probe())
        try:
            if not await self._answered(check, probing):
                silence = f"does not answer within {self._deadline_s(check):g} s"
                if check.unconfirmed:
                    raise UnknownHealthError(f"who knows of it {silence}")
                return silence, Answer()
            probing.result()
        except SomaError as error:
            return error.message, Answer()
        except OSError:
            return "cannot be reached", Answer()
        finally:
            await tasks.end(probing)
        return "", answers[0] or Answer()

    async def _answered(self, check: Check, probing: asyncio.Task[None]) -> bool:
        """Whether there is an answer before the deadline; a part that lets wait is judged by that in the meantime."""
        started = self._clock.monotonic()
        pause = self._slow_s + self._pace.every_s
        while True:
            waited = self._clock.monotonic() - started
            await self._first(probing, min(pause, self._deadline_s(check) - waited))
            if probing.done():
                return True
            now = self._clock.monotonic()
            if now - started >= self._deadline_s(check):
                return False
            if not check.unconfirmed:
                waits = Observation(ok=True, response_s=now - started, pending=True)
                await self._publish(check, self._trackers[check.name].observe(waits, self._clock.now(), now))
            pause = self._pace.every_s

    async def _first(self, probing: asyncio.Task[None], seconds: float) -> None:
        """Wait for the answer, or for some seconds."""
        pause = asyncio.create_task(self._clock.sleep(seconds))
        try:
            await asyncio.wait({probing, pause}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await tasks.end(pause)

    def _deadline_s(self, check: Check) -> float:
        return self._pace.deadline_s if check.deadline_s is None else check.deadline_s

    async def _follow(self, check: Check) -> None:
        while True:
            await self.check_once(check)
            pause = min(self._pace.every_s, _START_PAUSE_S) if self._starting(check) else self._pace.every_s
            await self._clock.sleep(pause)

    def _starting(self, check: Check) -> bool:
        """Whether a part that was never well may still be starting: the parts of a mesh start side by side."""
        unknown = self._trackers[check.name].component.state is State.UNKNOWN
        return unknown and self._clock.monotonic() < self._starting_until

    def _judge(self) -> Report:
        return report(tuple(tracker.component for tracker in self._trackers.values()), self._clock.now())


def _visible_state(what: Report) -> object:
    """What a reader would notice: not the times of checks."""
    return what.level, what.reason, [(item.name, item.state, item.level, item.version) for item in what.components]
