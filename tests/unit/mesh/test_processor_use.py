"""Whose use of processor time is heavy."""

from __future__ import annotations

import pytest

from mesh.processes import ProcessorUse
from mesh.testing import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def use(clock: FakeClock) -> ProcessorUse:
    return ProcessorUse(clock, heavy_s=3.0, memory_s=30.0)


async def _heavy(use: ProcessorUse, clock: FakeClock, *tenants: str) -> list[bool]:
    await clock.advance(0.6)  # what tenants use is compared now and then
    return [use.is_heavy(tenant) for tenant in tenants]


async def test_a_tenant_alone_is_never_heavy(use: ProcessorUse, clock: FakeClock) -> None:
    for _ in range(100):
        use.note("a", 1.0)
        assert await _heavy(use, clock, "a", "b") == [False, False]


async def test_who_uses_most_is_heavy(use: ProcessorUse, clock: FakeClock) -> None:
    use.note("a", 15.0)
    use.note("b", 22.0)
    use.note("c", 22.0)
    use.note("d", 1.0)
    assert await _heavy(use, clock, "a", "b", "c", "d") == [False, True, True, False]


async def test_tenants_that_use_the_same_are_not_heavy(use: ProcessorUse, clock: FakeClock) -> None:
    use.note("a", 20.0)
    use.note("b", 20.0)
    assert await _heavy(use, clock, "a", "b") == [False, False]


async def test_little_is_never_heavy(use: ProcessorUse, clock: FakeClock) -> None:
    use.note("a", 2.9)
    use.note("b", 0.1)
    assert await _heavy(use, clock, "a") == [False]


async def test_earlier_use_is_forgotten(use: ProcessorUse, clock: FakeClock) -> None:
    use.note("a", 10.0)
    use.note("b", 0.1)
    assert await _heavy(use, clock, "a") == [True]
    await clock.advance(30.0)
    use.note("b", 0.1)
    assert await _heavy(use, clock, "a") == [True]
    await clock.advance(30.0)
    use.note("b", 0.1)
    assert await _heavy(use, clock, "a") == [False]
