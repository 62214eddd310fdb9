"""Deadlines, retries that cannot pile up, and circuit breakers."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Self, TypeVar

from mesh import context
from mesh.errors import Reason, SomaError, is_transient

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator

    from mesh.clock import Clock

T = TypeVar("T")

_BUDGET_RATIO = 0.2
_BUDGET_RESERVE = 10.0


@dataclass(frozen=True)
class Deadline:
    """A point of monotonic time; None means never."""

    at: float | None
    clock: Clock

    @classmethod
    def within(cls, seconds: float, clock: Clock) -> Self:
        """The deadline in some seconds, or the request's when that is earlier."""
        at = clock.monotonic() + seconds
        inherited = cls.of_request(clock).at
        return cls(at if inherited is None else min(at, inherited), clock)

    @classmethod
    def of_request(cls, clock: Clock) -> Self:
        """The deadline of the request being served."""
        request = context.current()
        return cls(request.deadline if request is not None else None, clock)

    def remaining(self) -> float:
        """Seconds left, 0 when none are, infinity when it never ends."""
        return float("inf") if self.at is None else max(0.0, self.at - self.clock.monotonic())

    def check(self) -> None:
        """DEADLINE_EXCEEDED when it has passed."""
        if self.remaining() <= 0:
            raise SomaError(Reason.DEADLINE_EXCEEDED, "The deadline of the call has passed")


class RetryBudget:
    """Lets retries be at most `ratio` of the calls: each call earns that share of a retry, up to `reserve` retries.

    When everything fails behind several layers, the load so stays below (1 + ratio) times what was offered.
    """

    def __init__(self, ratio: float = _BUDGET_RATIO, reserve: float = _BUDGET_RESERVE) -> None:
        self._ratio = ratio
        self._reserve = reserve
        self._saved = reserve

    def earn(self) -> None:
        """Note a call."""
        self._saved = min(self._reserve, self._saved + self._ratio)

    def spend(self) -> bool:
        """Whether a retry is granted."""
        if self._saved < 1:
            return False
        self._saved -= 1
        return True


async def retry(
    call: Callable[[], Awaitable[T]],
    *,
    clock: Clock,
    rng: random.Random,
    budget: RetryBudget,
    attempts: int = 3,
    base_s: float = 0.1,
    cap_s: float = 5.0,
    deadline: Deadline | None = None,
    retryable: Callable[[Exception], bool] | None = None,
) -> T:
    """Call until it succeeds: at most `attempts` times, within the budget and the deadline.

    Pauses are drawn evenly from 0 to a bound that doubles from `base_s` up to `cap_s` (full jitter), and are at least
    what the error asks for. `retryable` decides by default by the table of reasons. Raises the last error.
    """
    until = deadline or Deadline.of_request(clock)
    may_retry = retryable or _retryable
    budget.earn()
    for attempt in range(1, attempts + 1):
        until.check()
        try:
            return await call()
        except Exception as error:
            pause = max(rng.uniform(0, min(cap_s, base_s * 2 ** (attempt - 1))), _requested_delay_s(error))
            if attempt == attempts or not may_retry(error) or pause >= until.remaining() or not budget.spend():
                raise
        await clock.sleep(pause)
    raise ValueError("attempts must be positive")


def _retryable(error: Exception) -> bool:
    return is_transient(error) and error.reason is not Reason.DEADLINE_EXCEEDED


def _requested_delay_s(error: Exception) -> float:
    return (error.retry_after_s or 0.0) if isinstance(error, SomaError) else 0.0


class CircuitState(StrEnum):
    """Whether calls go through."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


Transition = Callable[[str, CircuitState, CircuitState], None]
FailureClassifier = Callable[[Exception], "bool | None"]
"""Says of an error whether it is the callee's failure (True), an answer of the callee (False), or neither (None)."""


class CircuitBreaker:
    """Stops calling what fails: opens after `failures` failures within `window_s`, lets one call try again after
    `recovery_s`, and closes when that succeeds.

    The window is longer by the time that the last failed call took, so that calls which hang count as well.
    `on_transition` receives name, old and new state. Times are in seconds. One breaker belongs to one event loop.
    """

    def __init__(
        self,
        name: str,
        clock: Clock,
        *,
        failures: int = 5,
        window_s: float = 10.0,
        recovery_s: float = 60.0,
        classify: FailureClassifier | None = None,
        on_transition: Transition = lambda *_: None,
    ) -> None:
        self.name = name
        self._clock = clock
        self._failures = failures
        self._window_s = window_s
        self._recovery_s = recovery_s
        self._classify: FailureClassifier = classify or _is_callee_failure
        self._on_transition = on_transition
        self._failed_at: deque[float] = deque(maxlen=failures)
        self._state = CircuitState.CLOSED
        self._opened_at = 0.0
        self._probing = False

    @property
    def state(self) -> CircuitState:
        """The state now; an open circuit becomes half-open when its time has come."""
        if self._state is CircuitState.OPEN and self._clock.monotonic() - self._opened_at >= self._recovery_s:
            self._probing = False
            self._transition_to(CircuitState.HALF_OPEN)
        return self._state

    @asynccontextmanager
    async def guard(self, classify: FailureClassifier | None = None) -> AsyncIterator[None]:
        """Watch the enclosed call; UNAVAILABLE with the time to wait when the circuit does not let it through.

        `classify` judges the errors of this call in place of the breaker's own judge.
        """
        probe = self._admit()
        started = self._clock.monotonic()
        try:
            yield
        except Exception as error:
            callee_failed = (classify or self._classify)(error)
            if callee_failed:
                self._fail(started, probe=probe)
            elif callee_failed is False:
                self._succeed(probe=probe)
            elif probe:
                self._probing = False
            raise
        except BaseException:  # cancelled: nothing was learnt
            if probe:
                self._probing = False
            raise
        else:
            self._succeed(probe=probe)

    async def call(self, function: Callable[[], Awaitable[T]]) -> T:
        """Call through the circuit."""
        async with self.guard():
            return await function()

    def _admit(self) -> bool:
        """Let a call through; says whether it is the probe of a half-open circuit."""
        state = self.state
        if state is CircuitState.CLOSED:
            return False
        if state is CircuitState.HALF_OPEN and not self._probing:
            self._probing = True
            return True
        waited = self._clock.monotonic() - self._opened_at
        raise SomaError(
            Reason.UNAVAILABLE,
            f"The circuit breaker for {self.name} is open after repeated failures; retry later",
            metadata={"component": self.name, "circuit": state.value},
            retry_after_s=max(1.0, self._recovery_s - waited),
        )

    def _fail(self, started: float, *, probe: bool) -> None:
        now = self._clock.monotonic()
        if probe:
            self._open(now)
        elif self._state is CircuitState.CLOSED:
            self._failed_at.append(now)
            window_s = self._window_s + (now - started)
            if len(self._failed_at) == self._failures and now - self._failed_at[0] <= window_s:
                self._open(now)

    def _succeed(self, *, probe: bool) -> None:
        if probe:
            self._probing = False
            self._failed_at.clear()
            self._transition_to(CircuitState.CLOSED)

    def _open(self, now: float) -> None:
        self._opened_at = now
        self._probing = False
        self._failed_at.clear()
        self._transition_to(CircuitState.OPEN)

    def _transition_to(self, state: CircuitState) -> None:
        before, self._state = self._state, state
        if before is not state:
            self._on_transition(self.name, before, state)


_CALLEE = {
    Reason.UNAVAILABLE, Reason.DEPENDENCY_UNAVAILABLE, Reason.DEADLINE_EXCEEDED, Reason.INTERNAL, Reason.OVERLOADED,
}  # fmt: skip


def _is_callee_failure(error: Exception) -> bool:
    """Whether an error speaks against the callee; a refused request does not."""
    return not isinstance(error, SomaError) or error.reason in _CALLEE
