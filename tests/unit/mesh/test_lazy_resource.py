"""What is costly to keep is there when it is used, and gone when it is not."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from mesh import tasks
from mesh.lazy_resource import LazyResource
from mesh.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TERM_S = 300.0
TIMEOUT_S = 20.0


class Model:
    """Something that is loaded."""

    def __init__(self, number: int) -> None:
        self.number = number


class ModelSource:
    """Loads models; counts them."""

    def __init__(self) -> None:
        self.loads = 0
        self.failure: Exception | None = None

    def load(self) -> Model:
        if self.failure is not None:
            raise self.failure
        self.loads += 1
        return Model(self.loads)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def source() -> ModelSource:
    return ModelSource()


@pytest.fixture
def idle(source: ModelSource, clock: FakeClock) -> LazyResource[Model]:
    return LazyResource("model", source.load, clock, TERM_S)


@asynccontextmanager
async def kept(idle: LazyResource[Model], clock: FakeClock) -> AsyncIterator[None]:
    """Watch the term meanwhile."""
    keeper = asyncio.create_task(idle.run_idle_unloader())
    await clock.sleeper()
    try:
        yield
    finally:
        await tasks.end(keeper)


async def pass_time(clock: FakeClock, seconds: float) -> None:
    """Let time pass, and what wakes by it come to rest."""
    await clock.advance(seconds)
    await clock.sleeper()


def use(idle: LazyResource[Model]) -> int:
    """Use it; gives its number."""
    with idle.use() as model:
        return model.number


async def test_it_is_loaded_with_the_first_use_and_kept_for_the_next(
    idle: LazyResource[Model], source: ModelSource
) -> None:
    assert not idle.loaded
    assert [use(idle), use(idle)] == [1, 1]
    assert source.loads == 1


async def test_it_is_let_go_after_its_term_without_use(idle: LazyResource[Model], clock: FakeClock) -> None:
    async with kept(idle, clock):
        use(idle)
        await pass_time(clock, TERM_S - 1)
        assert idle.loaded
        await pass_time(clock, 1)
        assert not idle.loaded


async def test_the_term_begins_anew_with_each_use(idle: LazyResource[Model], clock: FakeClock) -> None:
    async with kept(idle, clock):
        for _ in range(4):
            use(idle)
            await pass_time(clock, TERM_S * 0.75)
            assert idle.loaded
        await pass_time(clock, TERM_S * 0.25)
        assert not idle.loaded


async def test_the_next_use_loads_it_again(idle: LazyResource[Model], clock: FakeClock) -> None:
    async with kept(idle, clock):
        use(idle)
        await pass_time(clock, TERM_S)
        assert use(idle) == 2
        await pass_time(clock, TERM_S)
        assert not idle.loaded


async def test_it_stays_while_it_is_used_however_long_that_takes(idle: LazyResource[Model], clock: FakeClock) -> None:
    async with kept(idle, clock):
        with idle.use():
            await pass_time(clock, 10 * TERM_S)
            assert idle.loaded
            assert not idle.release()
        await pass_time(clock, TERM_S)
        assert not idle.loaded


async def test_the_term_counts_from_the_end_of_a_use(idle: LazyResource[Model], clock: FakeClock) -> None:
    async with kept(idle, clock):
        with idle.use():
            await pass_time(clock, TERM_S * 1.5)
        await pass_time(clock, TERM_S * 0.9)
        assert idle.loaded


async def test_one_thread_has_it_at_a_time(idle: LazyResource[Model]) -> None:
    inside, leave = threading.Event(), threading.Event()
    order: list[str] = []

    def first() -> None:
        with idle.use():
            inside.set()
            leave.wait(TIMEOUT_S)
            order.append("first")

    def second() -> None:
        with idle.use():
            order.append("second")

    async with asyncio.timeout(TIMEOUT_S), asyncio.TaskGroup() as group:
        group.create_task(asyncio.to_thread(first))
        await asyncio.to_thread(inside.wait, TIMEOUT_S)
        group.create_task(asyncio.to_thread(second))
        leave.set()
    assert order == ["first", "second"]


async def test_many_threads_and_a_release_at_any_time_never_use_what_is_gone(
    idle: LazyResource[Model], clock: FakeClock
) -> None:
    users, rounds = 4, 200

    def work() -> int:
        used = 0
        for _ in range(rounds):
            with idle.use() as model:
                used += model.number > 0 and idle.loaded
            idle.release()
        return used

    async with asyncio.timeout(TIMEOUT_S), kept(idle, clock):
        assert await asyncio.gather(*(asyncio.to_thread(work) for _ in range(users))) == [rounds] * users


async def test_a_load_that_fails_is_tried_again_by_the_next_use(idle: LazyResource[Model], source: ModelSource) -> None:
    source.failure = RuntimeError("no such file")
    with pytest.raises(RuntimeError, match="no such file"):
        use(idle)
    source.failure = None
    assert use(idle) == 1


async def test_a_use_that_fails_leaves_it_for_the_next(idle: LazyResource[Model]) -> None:
    with pytest.raises(ValueError, match="bad"), idle.use():
        raise ValueError("bad")
    assert use(idle) == 1
