"""Whose use of processor time is heavy."""

from __future__ import annotations

import pytest

from mesh.processes import CpuUsage
from mesh.testing import FakeClock
from mesh.testing.contract import eventually


class Process:
    """A process whose processor time is told."""

    def __init__(self) -> None:
        self.used_s = 1.5
        self.lowered = False

    def cpu_s(self) -> float:
        return self.used_s

    def lower_priority(self) -> None:
        self.lowered = True


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def use(clock: FakeClock) -> CpuUsage:
    return CpuUsage(clock, long_s=4.0, heavy_s=3.0, memory_s=30.0)


@pytest.fixture
def process() -> Process:
    return Process()


def call(use: CpuUsage, process: Process, seconds: float, tenant: str = "a") -> None:
    with use.metered(tenant, process):  # type: ignore[arg-type]
        process.used_s += seconds


async def test_the_contexts_of_a_process_count_together(clock: FakeClock, process: Process) -> None:
    critic, executor = CpuUsage.of_process(clock), CpuUsage.of_process(clock)
    call(critic, process, 10.0, "both")
    assert executor.is_heavy("both")


async def test_short_calls_never_make_heavy(use: CpuUsage, process: Process) -> None:
    for _ in range(100):
        call(use, process, 3.9)
    assert not use.is_heavy("a")
    assert not process.lowered


async def test_a_long_call_makes_its_tenant_heavy_and_no_other(use: CpuUsage, process: Process) -> None:
    call(use, process, 4.1)
    assert [use.is_heavy("a"), use.is_heavy("b")] == [True, False]


async def test_a_tenant_is_heavy_while_its_call_is_long(use: CpuUsage, clock: FakeClock, process: Process) -> None:
    with use.metered("a", process):  # type: ignore[arg-type]
        assert not use.is_heavy("a")
        process.used_s += 5.0
        await eventually(lambda: use.is_heavy("a"))
        assert process.lowered
        await clock.advance(3_600.0)
        assert use.is_heavy("a")
    assert not use.is_heavy("a")


async def test_another_call_of_a_heavy_tenant_is_lowered(use: CpuUsage, process: Process) -> None:
    call(use, process, 10.0)
    other = Process()
    with use.metered("a", other):  # type: ignore[arg-type]
        await eventually(lambda: other.lowered)


async def test_earlier_use_is_forgotten(use: CpuUsage, clock: FakeClock, process: Process) -> None:
    call(use, process, 10.0)
    await clock.advance(30.0)
    assert use.is_heavy("a")
    await clock.advance(10.0)
    assert not use.is_heavy("a")


async def test_a_process_that_is_gone_takes_nothing_back(use: CpuUsage, process: Process) -> None:
    with use.metered("a", process):  # type: ignore[arg-type]
        process.used_s += 5.0
        await eventually(lambda: use.is_heavy("a"))
        process.used_s = 0.0
    assert use.is_heavy("a")


async def test_a_call_that_fails_is_counted(use: CpuUsage, process: Process) -> None:
    def fail() -> None:
        with use.metered("a", process):  # type: ignore[arg-type]
            process.used_s += 5.0
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fail()
    assert use.is_heavy("a")
