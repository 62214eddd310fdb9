"""What a context's health tells of its background tasks."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from grpc_health.v1 import health_pb2

from mesh.background import STEADY_S, BackgroundTasks, current, detached_context
from mesh.context import RequestContext, use
from mesh.context import current as request_now
from mesh.dependencies import Dependencies, of_background
from mesh.errors import Reason, SomaError
from mesh.health import REASON_KEY, Health
from mesh.lifecycle import background
from mesh.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
def watched() -> BackgroundTasks:
    return BackgroundTasks()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


class Crashing:
    """Crashes as often as it is told to, then works."""

    def __init__(self, times: int, error: Exception | None = None) -> None:
        self.times = times
        self.error = error or ValueError("with a secret")

    async def __call__(self) -> None:
        if self.times > 0:
            self.times -= 1
            raise self.error
        await asyncio.Event().wait()


class Trailers:
    """Takes the trailers of a call."""

    def __init__(self) -> None:
        self.sent: dict[str, str] = {}

    def set_trailing_metadata(self, metadata: tuple[tuple[str, str], ...]) -> None:
        self.sent = dict(metadata)


async def told(health: Health, task: str) -> str:
    trailers = Trailers()
    request = health_pb2.HealthCheckRequest(service=f"dependency.background.{task}")
    answer = await health.Check(request, trailers)  # type: ignore[arg-type]
    state = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    return f"{state} {trailers.sent.get(REASON_KEY, '')}".rstrip()


@asynccontextmanager
async def judged(watched: BackgroundTasks, clock: FakeClock) -> AsyncIterator[Health]:
    health = Health()
    judges = Dependencies(health, (), clock, discover=lambda: of_background(watched))
    async with background(judges.run, "dependencies", clock=clock):
        await clock.sleeper()
        yield health


async def settled(clock: FakeClock, seconds: float) -> None:
    for _ in range(round(seconds)):
        await clock.advance(1.0)


async def test_a_task_that_works_is_well(watched: BackgroundTasks, clock: FakeClock) -> None:
    watched.enter()
    async with background(Crashing(0), "feed", clock=clock), judged(watched, clock) as health:
        assert await told(health, "feed") == "SERVING"


async def test_a_task_that_keeps_crashing_is_not_well(watched: BackgroundTasks, clock: FakeClock) -> None:
    watched.enter()
    async with background(Crashing(10**6), "feed", clock=clock), judged(watched, clock) as health:
        await settled(clock, 8)
        assert (await told(health, "feed")).startswith("NOT_SERVING crashed ")
        assert (await told(health, "feed")).endswith(" times in a row: ValueError")


async def test_the_reason_of_an_outage_is_told(watched: BackgroundTasks, clock: FakeClock) -> None:
    watched.enter()
    away = Crashing(10**6, SomaError(Reason.DEPENDENCY_UNAVAILABLE, "The store is away"))
    async with background(away, "feed", clock=clock), judged(watched, clock) as health:
        await settled(clock, 8)
        assert (await told(health, "feed")).endswith("The store is away")


async def test_a_task_that_works_again_is_well_after_a_while(watched: BackgroundTasks, clock: FakeClock) -> None:
    watched.enter()
    async with background(Crashing(8), "feed", clock=clock), judged(watched, clock) as health:
        await settled(clock, 20)
        assert (await told(health, "feed")).startswith("NOT_SERVING")
        await settled(clock, STEADY_S + 40)
        assert await told(health, "feed") == "SERVING"


async def test_a_single_crash_is_no_failure(watched: BackgroundTasks, clock: FakeClock) -> None:
    watched.enter()
    async with background(Crashing(1), "feed", clock=clock), judged(watched, clock) as health:
        await settled(clock, 20)
        assert await told(health, "feed") == "SERVING"


async def test_a_task_that_has_ended_is_not_well(watched: BackgroundTasks, clock: FakeClock) -> None:
    async def once() -> None:
        return

    watched.enter()
    async with background(once, "feed", clock=clock) as task:
        await task
        async with judged(watched, clock) as health:
            await settled(clock, 5)
            assert await told(health, "feed") == "NOT_SERVING has ended"


async def test_a_task_that_was_left_is_no_failure(watched: BackgroundTasks, clock: FakeClock) -> None:
    watched.enter()
    async with background(Crashing(0), "feed", clock=clock):
        pass
    assert [watched.failure(name) for name in watched.names()] == [""]


async def test_one_of_several_tasks_of_a_name_is_told(watched: BackgroundTasks, clock: FakeClock) -> None:
    watched.enter()
    async with (
        background(Crashing(10**6), "feed", clock=clock),
        background(Crashing(0), "feed", clock=clock),
        judged(watched, clock) as health,
    ):
        await settled(clock, 8)
        assert (await told(health, "feed")).startswith("NOT_SERVING crashed ")


async def test_a_task_that_begins_while_it_is_served_is_told_of(watched: BackgroundTasks, clock: FakeClock) -> None:
    watched.enter()
    async with judged(watched, clock) as health, background(Crashing(0), "late", clock=clock):
        await settled(clock, 10)
        assert await told(health, "late") == "SERVING"


async def test_contexts_of_one_process_do_not_tell_of_each_others_tasks(clock: FakeClock) -> None:
    async def serve(name: str) -> tuple[str, ...]:
        own = BackgroundTasks()
        own.enter()
        async with background(Crashing(0), name, clock=clock):
            await asyncio.sleep(0)
            assert current() is own
            return tuple(own.names())

    assert await asyncio.gather(serve("a"), serve("b")) == [("a",), ("b",)]


async def test_work_that_outlives_its_request_is_told_of_as_well(watched: BackgroundTasks, clock: FakeClock) -> None:
    async def begin() -> None:
        async with background(Crashing(0), "late", clock=clock):
            await asyncio.sleep(0)

    watched.enter()
    with use(RequestContext(None, "r", "t")):
        work = asyncio.create_task(begin(), context=detached_context())
        request = detached_context().run(request_now)
    await work
    assert request is None
    assert tuple(watched.names()) == ("late",)
