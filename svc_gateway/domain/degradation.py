"""How degraded the mesh is, computed from health checks of its components without flapping."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from mesh.degradation import DegradationLevel

if TYPE_CHECKING:
    from datetime import datetime


class State(Enum):
    """State of a component after its last checks."""

    UNKNOWN = "unknown"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


@dataclass(frozen=True)
class Thresholds:
    """Response times in seconds and error rates from which a level begins, and when a level may change.

    Response times and errors are those of checks, and of a component's real calls once there were `min_calls` of them.
    `circuit_failures` is the share of real calls without a response from which callers' circuit breakers open.
    A level changes after `consecutive_checks` equal checks, and no sooner than `min_hold_s` after its last change.
    """

    minor_s: float = 5.0
    moderate_s: float = 10.0
    severe_s: float = 15.0
    minor_errors: float = 0.1
    moderate_errors: float = 0.2
    circuit_failures: float = 0.5
    min_calls: int = 20
    window: int = 20
    consecutive_checks: int = 2
    min_hold_s: float = 10.0


@dataclass(frozen=True)
class RecentCalls:
    """A component's real calls of the last minute; `unavailable` is the share that got no response."""

    count: int
    p95_s: float
    errors: float
    unavailable: float


NO_CALLS = RecentCalls(0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class ProbeResult:
    """What a component reports when it is probed: its recent calls and its version; empty where it reports none."""

    calls: RecentCalls | None = None
    version: str = ""


@dataclass(frozen=True)
class Observation:
    """The outcome of one check: whether it succeeded, how long it took so far, and the reason of a failure.

    `pending` is true while there is no response yet, `timed_out` when there was none before the deadline. `calls` are
    the component's own calls and `version` its version, where it reports them.
    """

    ok: bool
    response_s: float
    reason: str = ""
    pending: bool = False
    timed_out: bool = False
    calls: RecentCalls | None = None
    version: str = ""


class UnknownHealthError(Exception):
    """The health of a component cannot be determined, which does not mean that it is down; with the reason as text."""


@dataclass(frozen=True)
class Component:
    """A component and its current state. `version` is the last one that it reported, empty where it reports none."""

    name: str
    critical: bool
    state: State = State.UNKNOWN
    level: DegradationLevel = DegradationLevel.UNKNOWN
    reason: str = "not checked yet"
    response_s: float = 0.0
    checked_at: datetime | None = None
    version: str = ""


@dataclass(frozen=True)
class Report:
    """The current state of the whole mesh; components are ordered by name."""

    level: DegradationLevel
    reason: str
    components: tuple[Component, ...]
    assessed_at: datetime

    @property
    def unhealthy(self) -> tuple[str, ...]:
        """Names of the components that are down."""
        return tuple(component.name for component in self.components if component.state is State.UNHEALTHY)

    @property
    def unknown(self) -> tuple[str, ...]:
        """Names of the components whose state is not known; they do not count as healthy."""
        return tuple(component.name for component in self.components if component.state is State.UNKNOWN)


@dataclass
class HealthTracker:
    """Tracks one component, whose level changes after `consecutive_checks` equal checks, and stays for `min_hold_s`."""

    component: Component
    thresholds: Thresholds
    _outcomes: deque[bool] = field(default_factory=deque)
    _streak: int = 0
    _unknown_in_a_row: int = 0
    _candidate: tuple[State, DegradationLevel] | None = None
    _changed_at: float | None = None

    def observe(self, observation: Observation, at: datetime, now_s: float) -> Component:
        """Adds a check at `now_s` of the monotonic clock, and returns the component after it."""
        if observation.pending and self.component.state is not State.HEALTHY:
            return self.component  # a check without a response yet says nothing about health
        self._unknown_in_a_row = 0
        if not observation.pending:
            self._outcomes.append(observation.ok)
        while len(self._outcomes) > self.thresholds.window:
            self._outcomes.popleft()
        assessed = self._assess(observation)
        current = (self.component.state, self.component.level)
        if assessed == current:
            self._candidate, self._streak = None, 0
        else:
            self._streak = self._streak + 1 if assessed == self._candidate else 1
            if observation.timed_out:  # took as long as several checks
                self._streak = self.thresholds.consecutive_checks
            self._candidate = assessed
            if self._may_change(now_s):
                current, self._streak, self._candidate, self._changed_at = assessed, 0, None, now_s
        state, level = current
        self.component = Component(
            name=self.component.name,
            critical=self.component.critical,
            state=state,
            level=level,
            reason=self._reason(level, observation),
            response_s=self._response_s(observation),
            checked_at=at,
            version=observation.version or self.component.version,
        )
        return self.component

    def observe_unknown(self, reason: str) -> Component:
        """Adds a check without a result; after several in a row the state is unknown."""
        self._unknown_in_a_row += 1
        if self._unknown_in_a_row >= self.thresholds.consecutive_checks or self.component.state is State.UNKNOWN:
            self._outcomes.clear()
            self._candidate, self._streak = None, 0
            last = self.component
            self.component = Component(last.name, last.critical, reason=reason, version=last.version)
        return self.component

    def _may_change(self, now_s: float) -> bool:
        if self.component.state is State.UNKNOWN:
            return True
        recent = self._changed_at is not None and now_s - self._changed_at < self.thresholds.min_hold_s
        return self._streak >= self.thresholds.consecutive_checks and not recent

    def _assess(self, observation: Observation) -> tuple[State, DegradationLevel]:
        bounds, seconds, errors = self.thresholds, self._response_s(observation), self._errors(observation)
        down = DegradationLevel.CRITICAL if self.component.critical else DegradationLevel.SEVERE
        if not observation.ok:
            return State.UNHEALTHY, down
        if self._calls(observation).unavailable >= bounds.circuit_failures:
            return State.HEALTHY, down
        if seconds > bounds.severe_s:
            return State.HEALTHY, DegradationLevel.SEVERE
        if seconds > bounds.moderate_s or errors > bounds.moderate_errors:
            return State.HEALTHY, DegradationLevel.MODERATE
        if seconds > bounds.minor_s or errors > bounds.minor_errors:
            return State.HEALTHY, DegradationLevel.MINOR
        return State.HEALTHY, DegradationLevel.NONE

    def _calls(self, observation: Observation) -> RecentCalls:
        """The component's recent calls, when there are at least `min_calls`."""
        calls = observation.calls
        return calls if calls is not None and calls.count >= self.thresholds.min_calls else NO_CALLS

    def _response_s(self, observation: Observation) -> float:
        return max(observation.response_s, self._calls(observation).p95_s)

    def _errors(self, observation: Observation) -> float:
        failed = self._outcomes.count(False) / max(len(self._outcomes), self.thresholds.window // 2)
        return max(failed, self._calls(observation).errors)

    def _reason(self, level: DegradationLevel, observation: Observation) -> str:
        calls, errors = self._calls(observation), self._errors(observation)
        if level is DegradationLevel.NONE:
            return ""
        if not observation.ok:
            return observation.reason
        if level >= DegradationLevel.SEVERE and calls.unavailable >= self.thresholds.circuit_failures:
            return f"{calls.unavailable:.0%} of the last calls got no response"
        if level in {DegradationLevel.MINOR, DegradationLevel.MODERATE} and errors > self.thresholds.minor_errors:
            return f"{errors:.0%} of the last {'calls' if errors == calls.errors else 'checks'} failed"
        return "responds slowly" if self._response_s(observation) > self.thresholds.minor_s else "is recovering"


def assess_mesh(components: tuple[Component, ...], at: datetime) -> Report:
    """Returns the state of the mesh, whose level is the highest of its components with a known state.

    It is UNKNOWN while the state of a critical component, or of every component, is unknown. The reason names the
    components whose state is unknown.
    """
    ordered = tuple(sorted(components, key=lambda each: each.name))
    unchecked = [each.name for each in ordered if each.critical and each.state is State.UNKNOWN]
    if unchecked or all(each.state is State.UNKNOWN for each in ordered):
        return Report(DegradationLevel.UNKNOWN, f"not checked yet: {', '.join(unchecked)}".rstrip(": "), ordered, at)
    worst = max((each.level for each in ordered), default=DegradationLevel.NONE)
    reasons = [
        f"{each.name}: {each.reason}" for each in ordered if each.level is worst and worst > DegradationLevel.NONE
    ]
    unknown = ", ".join(each.name for each in ordered if each.state is State.UNKNOWN)
    if unknown:
        reasons.append(f"nothing is known of {unknown}")
    return Report(worst, "; ".join(reasons), ordered, at)
