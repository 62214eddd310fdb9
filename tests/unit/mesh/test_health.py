"""Readiness does not flap."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from mesh.health import Readiness
from mesh.testing import FakeClock


async def test_it_falls_after_failures_in_a_row_only() -> None:
    readiness = Readiness(FakeClock(), failures=3)
    assert [readiness.observe(good) for good in (False, False, True, False, False, False)] == [True] * 5 + [False]


async def test_it_rises_after_successes_in_a_row_once_it_was_held() -> None:
    clock = FakeClock()
    readiness = Readiness(clock, failures=1, successes=2, hold_s=10)
    readiness.observe(False)
    assert [readiness.observe(True) for _ in range(3)] == [False] * 3
    await clock.advance(10)
    assert readiness.observe(True)


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 3)), max_size=200))
async def test_it_changes_at_most_once_in_ten_seconds(probes: list[tuple[bool, float]]) -> None:
    clock = FakeClock()
    readiness = Readiness(clock)
    changes: list[float] = []
    for good, pause in probes:
        before = readiness.ready
        if readiness.observe(good) != before:
            changes.append(clock.monotonic())
        await clock.advance(pause)
    assert all(later - earlier >= 10 for earlier, later in pairwise(changes))


async def test_it_changes_again_after_ten_seconds() -> None:
    clock = FakeClock()
    readiness = Readiness(clock, failures=1, successes=1)
    changes: list[float] = []
    for second in range(40):
        before = readiness.ready
        if readiness.observe(before is False) != before:  # whatever would change it
            changes.append(second)
        await clock.advance(1)
    assert changes == [0, 10, 20, 30]
