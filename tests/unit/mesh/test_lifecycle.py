"""Services start together and stop in order; background work goes on."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import prometheus_client
import pytest
import structlog

from mesh.errors import Reason, SomaError
from mesh.lifecycle import LONGEST_PAUSE_S, SWITCH_INTERVAL_S, Service, background, run_many
from mesh.settings import SettingsError
from mesh.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mesh.lifecycle import Build


class Story:
    """Builds services that write down what happens to them."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.ready = asyncio.Event()

    def build(self, name: str, fails: Exception | None = None) -> Build:
        @asynccontextmanager
        async def build() -> AsyncIterator[Service]:
            if fails is not None:
                raise fails
            self.events.append(f"{name} starts")
            self.ready.set()
            try:
                yield Service(name, "127.0.0.1:1")
            finally:
                self.events.append(f"{name} stops")

        return build


async def test_services_run_until_they_are_stopped() -> None:
    story, stop = Story(), asyncio.Event()
    running = asyncio.create_task(run_many([story.build("a"), story.build("b")], stop))
    await story.ready.wait()
    stop.set()
    await running
    assert sorted(story.events) == ["a starts", "a stops", "b starts", "b stops"]


async def test_threads_give_way_to_the_event_loop_sooner_while_services_run() -> None:
    story, stop, before = Story(), asyncio.Event(), sys.getswitchinterval()
    running = asyncio.create_task(run_many([story.build("a")], stop))
    await story.ready.wait()
    assert sys.getswitchinterval() == pytest.approx(SWITCH_INTERVAL_S)
    assert before > SWITCH_INTERVAL_S
    stop.set()
    await running
    assert sys.getswitchinterval() == pytest.approx(before)


async def test_a_service_that_cannot_start_stops_the_others() -> None:
    story = Story()
    with pytest.raises(SettingsError, match="broken"):
        await asyncio.wait_for(run_many([story.build("a"), story.build("b", SettingsError("broken"))]), 20)
    assert story.events == ["a starts", "a stops"]


async def test_a_service_that_waits_while_it_starts_gives_up_when_told_to_stop() -> None:
    story, stop, undone = Story(), asyncio.Event(), asyncio.Event()

    @asynccontextmanager
    async def waiting() -> AsyncIterator[Service]:
        try:
            await asyncio.Event().wait()
            yield Service("waiting", "127.0.0.1:1")
        finally:
            undone.set()

    running = asyncio.create_task(run_many([story.build("a"), waiting], stop))
    await story.ready.wait()
    stop.set()
    await asyncio.wait_for(running, 20)
    assert undone.is_set()
    assert story.events == ["a starts", "a stops"]


async def test_a_service_that_cannot_start_is_told_of_while_others_wait() -> None:
    @asynccontextmanager
    async def waiting() -> AsyncIterator[Service]:
        await asyncio.Event().wait()
        yield Service("waiting", "127.0.0.1:1")

    with pytest.raises(SettingsError, match="broken"):
        await asyncio.wait_for(run_many([waiting, Story().build("b", SettingsError("broken"))]), 20)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_them(number: signal.Signals) -> None:
    story = Story()
    running = asyncio.create_task(run_many([story.build("a")]))
    await story.ready.wait()
    os.kill(os.getpid(), number)
    await asyncio.wait_for(running, 20)
    assert story.events == ["a starts", "a stops"]


async def test_a_second_signal_does_not_wait_for_the_drain() -> None:
    draining = asyncio.Event()
    ready = asyncio.Event()

    @asynccontextmanager
    async def stubborn() -> AsyncIterator[Service]:
        ready.set()
        yield Service("stubborn", "127.0.0.1:1")
        draining.set()
        await asyncio.Event().wait()

    running = asyncio.create_task(run_many([stubborn]))
    await ready.wait()
    os.kill(os.getpid(), signal.SIGTERM)
    await draining.wait()
    os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(running, 20)


PROGRAM = """
    from contextlib import asynccontextmanager
    from mesh.lifecycle import Service, run
    from mesh.settings import SettingsError

    @asynccontextmanager
    async def build():
        if {fails}:
            raise SettingsError("SA01_POSTGRES_DSN is not set")
        print("up", flush=True)
        yield Service("probe", "127.0.0.1:1")
        print("down", flush=True)

    run(build)
"""


def test_a_process_serves_until_it_is_told_to_stop() -> None:
    program = textwrap.dedent(PROGRAM.format(fails=False))
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read().splitlines()[-1] == "down"
        assert process.wait(10) == 0


def test_a_process_with_bad_settings_says_what_is_wrong_without_a_traceback() -> None:
    program = textwrap.dedent(PROGRAM.format(fails=True))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert done.stderr.strip() == "SA01_POSTGRES_DSN is not set"


async def test_background_work_that_crashes_is_started_again_after_a_growing_pause() -> None:
    clock = FakeClock()
    starts: list[float] = []

    async def crash() -> None:
        starts.append(clock.monotonic())
        raise RuntimeError("broken")

    async with background(crash, "crashing", clock=clock):
        pauses = []
        for _ in range(11):
            pauses.append(await clock.sleeper())
            await clock.advance(pauses[-1])
    assert [round(pause, 1) for pause in pauses[:4]] == [0.1, 0.2, 0.4, 0.8]
    assert pauses[-1] == LONGEST_PAUSE_S
    assert len(starts) == 12
    restarts = prometheus_client.REGISTRY.get_sample_value("background_restarts_total", {"task": "crashing"})
    assert restarts is not None
    assert restarts >= 11


async def test_an_outage_is_told_without_a_traceback() -> None:
    clock, tries = FakeClock(), iter((SomaError(Reason.DEPENDENCY_UNAVAILABLE, "it is away"), RuntimeError("broken")))

    async def work() -> None:
        raise next(tries)

    with structlog.testing.capture_logs() as lines:
        async with background(work, "working", clock=clock):
            for _ in range(2):
                await clock.advance(await clock.sleeper())
    waits, crashed = lines[:2]
    assert waits == {
        "event": "background task waits",
        "log_level": "warning",
        "task": "working",
        "reason": "it is away",
    }
    assert (crashed["event"], crashed["exc_info"]) == ("background task crashed", True)


async def test_the_pause_is_short_again_after_steady_work() -> None:
    clock = FakeClock()

    async def steady() -> None:
        await clock.sleep(120)
        raise RuntimeError("broken")

    async with background(steady, "steady", clock=clock):
        for _ in range(3):
            assert await clock.sleeper() == 120
            await clock.advance(120)
            assert round(await clock.sleeper(), 3) == 0.1
            await clock.advance(0.1)


async def test_background_work_ends_with_its_block() -> None:
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with background(work, "working") as task:
        await asyncio.sleep(0)
    assert ended.is_set()
    assert task.cancelled()


async def test_background_work_that_is_done_is_not_started_again() -> None:
    runs = 0

    async def once() -> None:
        nonlocal runs
        runs += 1

    async with background(once, "once") as task:
        await task
    assert runs == 1


async def test_a_cancellation_from_within_does_not_end_background_work() -> None:
    clock = FakeClock()

    async def confused() -> None:
        raise asyncio.CancelledError

    async with background(confused, "confused", clock=clock) as task:
        await clock.sleeper()
        assert not task.done()
