"""How degraded the mesh is, told from checks of its parts without flapping."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from mesh.degradation import DegradationLevel

if TYPE_CHECKING:
    from datetime import datetime


class State(Enum):
    """What the last checks of a part told."""

    UNKNOWN = "unknown"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


@dataclass(frozen=True)
class Thresholds:
    """Seconds and shares from which a level begins, and how much evidence a change needs.

    Response times and errors are those of checks, and of a part's real calls once there were `min_calls` of them.
    `circuit_failures` is the share of real calls that got no answer, from which callers' circuit breakers open.
    """

    minor_s: float = 5.0
    moderate_s: float = 10.0
    severe_s: float = 15.0
    minor_errors: float = 0.1
    moderate_errors: float = 0.2
    circuit_failures: float = 0.5
    min_calls: int = 20
    window: int = 20
    evidence: int = 2
    hold_s: float = 10.0


@dataclass(frozen=True)
class Calls:
    """A part's real calls of the last minute; `unavailable` is the share that got no answer."""

    count: int
    p95_s: float
    errors: float
    unavailable: float


NO_CALLS = Calls(0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Answer:
    """What a part tells of itself when it is asked: its calls, and its version; what it does not tell is empty."""

    calls: Calls | None = None
    version: str = ""


@dataclass(frozen=True)
class Observation:
    """One check: whether it succeeded, how long it took or takes already, and what to tell of a failure.

    `pending` is true while it has no answer yet, `silent` when it had none before its deadline. `calls` are the part's
    own calls and `version` its version, where it tells of them.
    """

    ok: bool
    response_s: float
    reason: str = ""
    pending: bool = False
    silent: bool = False
    calls: Calls | None = None
    version: str = ""


class UnknownHealthError(Exception):
    """Nobody could say how a part is, which is not to say that it is lost; says why, for people."""


@dataclass(frozen=True)
class Component:
    """A part as it is judged now. `version` is the last that it told, empty where it tells none."""

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
    """The whole mesh as it is judged now; components are ordered by name."""

    level: DegradationLevel
    reason: str
    components: tuple[Component, ...]
    judged_at: datetime

    @property
    def unhealthy(self) -> tuple[str, ...]:
        """Names of the parts that are lost."""
        return tuple(item.name for item in self.components if item.state is State.UNHEALTHY)

    @property
    def unknown(self) -> tuple[str, ...]:
        """Names of the parts of which nothing is known, which is not to say that they are healthy."""
        return tuple(item.name for item in self.components if item.state is State.UNKNOWN)


@dataclass
class HealthTracker:
    """Follows one part. A level changes after `evidence` checks in a row that say so, and is then held."""

    component: Component
    thresholds: Thresholds
    _outcomes: deque[bool] = field(default_factory=deque)
    _streak: int = 0
    _silences: int = 0
    _candidate: tuple[State, DegradationLevel] | None = None
    _changed_at: float | None = None

    def observe(self, seen: Observation, at: datetime, now_s: float) -> Component:
        """Take in a finished check, `now_s` being monotonic, and give the part after it."""
        if seen.pending and self.component.state is not State.HEALTHY:
            return self.component  # to wait for an answer is no sign of health
        self._silences = 0
        if not seen.pending:
            self._outcomes.append(seen.ok)
        while len(self._outcomes) > self.thresholds.window:
            self._outcomes.popleft()
        judged = self._judged(seen)
        current = (self.component.state, self.component.level)
        if judged == current:
            self._candidate, self._streak = None, 0
        else:
            self._streak = self._streak + 1 if judged == self._candidate else 1
            if seen.silent:  # it had as much time as several checks
                self._streak = self.thresholds.evidence
            self._candidate = judged
            if self._may_change(now_s):
                current, self._streak, self._candidate, self._changed_at = judged, 0, None, now_s
        state, level = current
        self.component = Component(
            name=self.component.name,
            critical=self.component.critical,
            state=state,
            level=level,
            reason=self._reason(level, seen),
            response_s=self._response_s(seen),
            checked_at=at,
            version=seen.version or self.component.version,
        )
        return self.component

    def observe_unknown(self, reason: str) -> Component:
        """Take in that nobody could say; what nobody can say any more is unknown."""
        self._silences += 1
        if self._silences >= self.thresholds.evidence or self.component.state is State.UNKNOWN:
            self._outcomes.clear()
            self._candidate, self._streak = None, 0
            known = self.component
            self.component = Component(known.name, known.critical, reason=reason, version=known.version)
        return self.component

    def _may_change(self, now_s: float) -> bool:
        if self.component.state is State.UNKNOWN:
            return True
        held = self._changed_at is not None and now_s - self._changed_at < self.thresholds.hold_s
        return self._streak >= self.thresholds.evidence and not held

    def _judged(self, seen: Observation) -> tuple[State, DegradationLevel]:
        bounds, seconds, errors = self.thresholds, self._response_s(seen), self._errors(seen)
        lost = DegradationLevel.CRITICAL if self.component.critical else DegradationLevel.SEVERE
        if not seen.ok:
            return State.UNHEALTHY, lost
        if self._calls(seen).unavailable >= bounds.circuit_failures:
            return State.HEALTHY, lost
        if seconds > bounds.severe_s:
            return State.HEALTHY, DegradationLevel.SEVERE
        if seconds > bounds.moderate_s or errors > bounds.moderate_errors:
            return State.HEALTHY, DegradationLevel.MODERATE
        if seconds > bounds.minor_s or errors > bounds.minor_errors:
            return State.HEALTHY, DegradationLevel.MINOR
        return State.HEALTHY, DegradationLevel.NONE

    def _calls(self, seen: Observation) -> Calls:
        """The part's calls, where there are enough of them to judge it by."""
        calls = seen.calls
        return calls if calls is not None and calls.count >= self.thresholds.min_calls else NO_CALLS

    def _response_s(self, seen: Observation) -> float:
        return max(seen.response_s, self._calls(seen).p95_s)

    def _errors(self, seen: Observation) -> float:
        failed = self._outcomes.count(False) / max(len(self._outcomes), self.thresholds.window // 2)
        return max(failed, self._calls(seen).errors)

    def _reason(self, level: DegradationLevel, seen: Observation) -> str:
        calls, errors = self._calls(seen), self._errors(seen)
        if level is DegradationLevel.NONE:
            return ""
        if not seen.ok:
            return seen.reason
        if level >= DegradationLevel.SEVERE and calls.unavailable >= self.thresholds.circuit_failures:
            return f"{calls.unavailable:.0%} of the last calls got no answer"
        if level in {DegradationLevel.MINOR, DegradationLevel.MODERATE} and errors > self.thresholds.minor_errors:
            return f"{errors:.0%} of the last {'calls' if errors == calls.errors else 'checks'} failed"
        return "answers slowly" if self._response_s(seen) > self.thresholds.minor_s else "is recovering"


def report(components: tuple[Component, ...], at: datetime) -> Report:
    """The mesh's level is its worst known part's; unknown while nothing is known of a critical part, or of any.

    Parts of which nothing is known are named in the reason.
    """
    ordered = tuple(sorted(components, key=lambda item: item.name))
    unknown = [item.name for item in ordered if item.critical and item.state is State.UNKNOWN]
    if unknown or all(item.state is State.UNKNOWN for item in ordered):
        return Report(DegradationLevel.UNKNOWN, f"not checked yet: {', '.join(unknown)}".rstrip(": "), ordered, at)
    worst = max((item.level for item in ordered), default=DegradationLevel.NONE)
    lost = [f"{item.name}: {item.reason}" for item in ordered if item.level is worst and worst > DegradationLevel.NONE]
    silent = ", ".join(item.name for item in ordered if item.state is State.UNKNOWN)
    return Report(worst, "; ".join([*lost, *([f"nothing is known of {silent}"] if silent else [])]), ordered, at)
