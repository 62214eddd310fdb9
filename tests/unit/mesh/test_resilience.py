"""Deadlines, retries and breakers, on a clock that is turned by hand."""

from __future__ import annotations

import asyncio
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.context import RequestContext, use
from mesh.errors import Reason, SomaError, invalid
from mesh.resilience import CircuitBreaker, CircuitState, Deadline, RetryBudget, retry
from mesh.testing.clock import FakeClock


class Quick(FakeClock):
    """Whoever sleeps lets the time pass."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await self.advance(seconds)


def down(retry_after_s: float | None = None) -> SomaError:
    return SomaError(Reason.UNAVAILABLE, "down", retry_after_s=retry_after_s)


class Callee:
    """Fails with the given errors in turn, then answers."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    async def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "answer"


async def attempt(callee: Callee, clock: Quick, **more: object) -> str:
    arguments = {"clock": clock, "rng": Random(1), "budget": RetryBudget()} | more
    return await retry(callee, **arguments)  # type: ignore[arg-type]


async def test_a_deadline_is_the_earlier_of_its_own_and_the_requests() -> None:
    clock = FakeClock()
    with use(RequestContext(None, "r", "t", deadline=3.0)):
        assert Deadline.within(10.0, clock).remaining() == 3.0
        assert Deadline.within(1.0, clock).remaining() == 1.0


async def test_a_passed_deadline_is_an_error() -> None:
    clock = FakeClock()
    deadline = Deadline.within(1.0, clock)
    deadline.check()
    await clock.advance(1.0)
    with pytest.raises(SomaError) as caught:
        deadline.check()
    assert caught.value.reason is Reason.DEADLINE_EXCEEDED


async def test_a_retry_succeeds_after_failures() -> None:
    callee = Callee(down(), down())
    assert await attempt(callee, Quick()) == "answer"
    assert callee.calls == 3


async def test_the_last_error_is_raised_when_attempts_end() -> None:
    callee = Callee(down(), down(), down(retry_after_s=0.0))
    last = callee.errors[-1]
    with pytest.raises(SomaError) as caught:
        await attempt(callee, Quick())
    assert caught.value is last


@pytest.mark.parametrize("error", [invalid("x", "bad"), ValueError("bug"), SomaError(Reason.DEADLINE_EXCEEDED, "late")])
async def test_what_would_fail_again_is_not_retried(error: Exception) -> None:
    callee = Callee(error)
    with pytest.raises(type(error)):
        await attempt(callee, Quick())
    assert callee.calls == 1


async def test_the_pause_is_at_least_what_the_error_asks_for() -> None:
    clock = Quick()
    await attempt(Callee(down(retry_after_s=2.5)), clock)
    assert clock.pauses == [2.5]


async def test_nobody_waits_beyond_the_deadline() -> None:
    clock, callee = Quick(), Callee(down(retry_after_s=9.0))
    with pytest.raises(SomaError, match="down"):
        await attempt(callee, clock, deadline=Deadline.within(5.0, clock))
    assert clock.pauses == []


@given(layers=st.integers(1, 4), offered=st.integers(500, 2000))
def test_retries_stay_within_their_share_of_the_load(layers: int, offered: int) -> None:
    budgets = [RetryBudget(reserve=10) for _ in range(layers)]

    def call(layer: int) -> int:
        """Number of calls that reach the backend, which always fails; only the innermost layer retries there."""
        if layer == layers:
            return 1
        budgets[layer].earn()
        reached = call(layer + 1)
        if layer == layers - 1 and budgets[layer].spend():
            reached += call(layer + 1)
        return reached

    assert sum(call(0) for _ in range(offered)) <= offered * 1.2 + 10


def breaker(clock: FakeClock, seen: list[str] | None = None) -> CircuitBreaker:
    notes = seen if seen is not None else []
    return CircuitBreaker("model", clock, on_transition=lambda _name, _old, new: notes.append(new.value))


async def fail(circuit: CircuitBreaker, times: int, error: Exception | None = None) -> None:
    for _ in range(times):
        with pytest.raises(type(error) if error else SomaError):
            await circuit.call(Callee(error or down()))


async def test_a_circuit_opens_after_five_failures() -> None:
    circuit = breaker(FakeClock())
    states: list[CircuitState] = []
    for _ in range(5):
        await fail(circuit, 1)
        states.append(circuit.state)
    assert states == [CircuitState.CLOSED] * 4 + [CircuitState.OPEN]


async def test_an_open_circuit_does_not_call_and_says_how_long() -> None:
    clock = FakeClock()
    circuit = breaker(clock)
    await fail(circuit, 5)
    await clock.advance(20)
    callee = Callee()
    with pytest.raises(SomaError) as caught:
        await circuit.call(callee)
    assert (callee.calls, caught.value.reason, caught.value.retry_after_s) == (0, Reason.UNAVAILABLE, 40.0)


async def test_failures_far_apart_do_not_open_it() -> None:
    clock = FakeClock()
    circuit = breaker(clock)
    for _ in range(20):
        await fail(circuit, 1)
        await clock.advance(16)
    assert circuit.state is CircuitState.CLOSED


async def test_what_the_caller_did_wrong_does_not_open_it() -> None:
    circuit = breaker(FakeClock())
    await fail(circuit, 20, invalid("x", "bad"))
    assert circuit.state is CircuitState.CLOSED


async def test_after_recovery_one_call_tries_and_its_success_closes() -> None:
    clock = FakeClock()
    seen: list[str] = []
    circuit = breaker(clock, seen)
    await fail(circuit, 5)
    await clock.advance(60)
    async with circuit.guard():
        with pytest.raises(SomaError):
            await circuit.call(Callee())
    assert seen == ["open", "half_open", "closed"]


async def test_a_failed_try_opens_it_again_for_the_whole_time() -> None:
    clock = FakeClock()
    seen: list[str] = []
    circuit = breaker(clock, seen)
    await fail(circuit, 5)
    await clock.advance(60)
    await fail(circuit, 1)
    await clock.advance(59)
    assert circuit.state is CircuitState.OPEN
    assert seen == ["open", "half_open", "open"]


async def test_a_cancelled_try_lets_another_try() -> None:
    clock = FakeClock()
    circuit = breaker(clock)
    await fail(circuit, 5)
    await clock.advance(60)
    task = asyncio.create_task(circuit.call(asyncio.Event().wait))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await circuit.call(Callee()) == "answer"


async def test_a_late_failure_of_an_earlier_call_changes_nothing_while_open() -> None:
    clock = FakeClock()
    circuit = breaker(clock)
    begun, finish = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        begun.set()
        await finish.wait()
        raise down()

    task = asyncio.create_task(circuit.call(slow))
    await begun.wait()
    await fail(circuit, 5)
    await clock.advance(30)
    finish.set()
    with pytest.raises(SomaError):
        await task
    await clock.advance(30)
    assert circuit.state is CircuitState.HALF_OPEN
