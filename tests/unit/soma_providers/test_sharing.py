"""Tools that keep a process or a thread of their own: tenants take turns, and only work counts as time."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from mesh.testing.clock import FakeClock
from mesh.testing.contract import eventually
from soma_providers.plantuml.processes import PlantUmlProcesses
from soma_providers.port import Capacity, Failure, FailureOrigin, ProviderError
from soma_providers.smollm.thread import ModelThread

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator


class FakeProcess:
    """Draws when it is released."""

    def __init__(self) -> None:
        self.sources: list[str] = []
        self.released = asyncio.Event()
        self.ended = False

    async def draw(self, source: str, timeout_s: float) -> str:
        self.sources.append(source)
        await self.released.wait()
        return f"{source} in {timeout_s:g} s"

    async def aclose(self) -> None:
        self.ended = True


class Drawing:
    """Processes of PlantUML that can be watched."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.made: list[FakeProcess] = []
        self.processes = PlantUmlProcesses(self._make, Capacity(2, 1), self.clock, idle_s=60.0)  # type: ignore[arg-type]

    def _make(self) -> FakeProcess:
        self.made.append(FakeProcess())
        return self.made[-1]

    def draw(self, source: str, tenant: str) -> asyncio.Task[str]:
        """Begin to draw."""
        return asyncio.create_task(self.processes.draw(source, tenant, 5.0))

    @property
    def at_work(self) -> list[str]:
        """What was started."""
        return [source for process in self.made for source in process.sources]

    def release(self) -> None:
        """Let all drawings end."""
        for process in self.made:
            process.released.set()


@pytest.fixture
async def drawing() -> AsyncIterator[Drawing]:
    made = Drawing()
    yield made
    await made.processes.aclose()


async def test_a_tenant_finds_a_process_while_another_has_many_diagrams(drawing: Drawing) -> None:
    tasks = [drawing.draw(f"a{number}", "a") for number in range(3)]
    await eventually(lambda: drawing.at_work == ["a0"])
    tasks.append(drawing.draw("b0", "b"))
    await eventually(lambda: drawing.at_work == ["a0", "b0"])
    drawing.release()
    assert await asyncio.gather(*tasks) == [f"{name} in 5 s" for name in ("a0", "a1", "a2", "b0")]
    assert len(drawing.made) <= 2


async def test_processes_that_are_not_used_end(drawing: Drawing) -> None:
    task = drawing.draw("a0", "a")
    await eventually(lambda: drawing.at_work == ["a0"])
    drawing.release()
    await task
    for _ in range(2):
        await drawing.clock.sleeper()
        await drawing.clock.advance(30)
    await eventually(lambda: drawing.made[0].ended)


class Writing:
    """Work of a model that goes on until it is released or stopped."""

    def __init__(self) -> None:
        self.started = threading.Event()
        self.released = threading.Event()
        self.stopped = threading.Event()

    def __call__(self, stopped: Callable[[], bool]) -> str:
        self.started.set()
        while not self.released.wait(0.005):
            if stopped():
                self.stopped.set()
                return "cut"
        return "whole"


@pytest.fixture
def thread() -> Iterator[ModelThread]:
    made = ModelThread("model")
    yield made
    made.close()


async def test_a_caller_that_is_cancelled_stops_its_work(thread: ModelThread) -> None:
    writing = Writing()
    task = asyncio.create_task(thread.run("a", 60.0, writing))
    await eventually(writing.started.is_set)
    task.cancel()
    await asyncio.wait((task,))
    await eventually(writing.stopped.is_set)


async def test_work_that_takes_too_long_is_stopped_and_is_the_callers_fault(thread: ModelThread) -> None:
    writing = Writing()
    with pytest.raises(ProviderError) as caught:
        await thread.run("a", 0.05, writing)
    assert (caught.value.reason, caught.value.origin) == (Failure.TIMEOUT, FailureOrigin.CALLER)
    await eventually(writing.stopped.is_set)


async def test_a_tenant_that_waits_for_the_model_comes_after_the_one_at_work(thread: ModelThread) -> None:
    first, second = Writing(), Writing()
    tasks = [asyncio.create_task(thread.run(tenant, 60.0, work)) for tenant, work in (("a", first), ("b", second))]
    await eventually(first.started.is_set)
    assert not second.started.is_set()
    for work in (first, second):
        work.released.set()
    assert await asyncio.gather(*tasks) == ["whole", "whole"]
