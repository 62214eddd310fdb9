"""Runs the services of a process from start to a shutdown in order, and the tasks beneath them."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import uvloop

from mesh import tasks
from mesh.background import STEADY_S, BackgroundTask, current
from mesh.clock import SystemClock
from mesh.errors import is_transient
from mesh.logging import get_logger
from mesh.settings import SettingsError
from mesh.telemetry import counter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mesh.clock import Clock

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 30.0
SWITCH_INTERVAL_S = 0.0005
"""How long a thread may hold the interpreter while the event loop wants it. A request wakes the loop dozens of times:
by Python's 5 ms, one thread that converts a large message made each of them late by as much.
"""
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True)
class Service:
    """A context that serves. `address` is the host:port actually bound."""

    name: str
    address: str


Build: TypeAlias = Callable[[], AbstractAsyncContextManager[Service]]
"""Builds a context while entered, and undoes it in reverse on leaving."""


def run(build: Build) -> None:
    """Serve one context until SIGTERM or SIGINT; the whole of a service's `__main__`."""
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run_many([build]))
    except SettingsError as error:
        sys.exit(str(error))


async def run_many(builds: Sequence[Build], stop: asyncio.Event | None = None) -> None:
    """Serve contexts on one loop until `stop` is set, or SIGTERM or SIGINT arrives.

    They start and stop together. When one fails, the others stop and its error is raised; those that are still
    starting give up. A second signal cuts the shutdown short.
    """
    stop = stop or asyncio.Event()
    with _signals(stop), _quick_switches():
        ends = await asyncio.gather(*(_serve(build, stop) for build in builds), return_exceptions=True)
    for end in ends:
        if isinstance(end, BaseException):
            raise end


@asynccontextmanager
async def background(
    coro_fn: Callable[[], Awaitable[None]], name: str, *, clock: Clock | None = None
) -> AsyncIterator[asyncio.Task[None]]:
    """Keep `coro_fn` running while entered: when it crashes it is logged, counted and started again.

    The pause before a restart grows from 0.1 to 30 seconds, and is short again after a minute of steady work. When
    `coro_fn` returns, the task is done.

    The context's health tells of it as `dependency.background.<name>`: a task that keeps crashing, or that is done
    before the block is left, is not well.
    """
    watched, known = BackgroundTask(name, clock or SystemClock()), current()
    if known is not None:
        known.add(watched)
    task = asyncio.create_task(_supervise(coro_fn, watched), name=name)
    task.add_done_callback(lambda _: _end(watched))
    try:
        yield task
    finally:
        await tasks.end(task)
        if known is not None:
            known.remove(watched)


async def _serve(build: Build, stop: asyncio.Event) -> None:
    """Build, serve until `stop`, undo; a build that waits for something is given up when `stop` comes first."""
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("a context is served outside of a task")
    giving_up = asyncio.create_task(_cancel_on_stop(task, stop))
    try:
        async with build() as service:
            giving_up.cancel()
            _freeze_heap()
            get_logger("mesh.lifecycle").info("ready", context=service.name, address=service.address)
            await stop.wait()
    except asyncio.CancelledError:
        given_up = giving_up.done() and not giving_up.cancelled()
        if not given_up or task.uncancel() > 0:  # cancelled from outside
            raise
    finally:
        giving_up.cancel()
        stop.set()
        gc.unfreeze()


def _freeze_heap() -> None:
    """Exempt what was built from the garbage collector, which would halt the process to search it; until the end."""
    gc.collect()
    gc.freeze()


async def _cancel_on_stop(building: asyncio.Task[None], stop: asyncio.Event) -> None:
    await stop.wait()
    building.cancel()


def _end(task: BackgroundTask) -> None:
    task.ended = True


async def _supervise(coro_fn: Callable[[], Awaitable[None]], watched: BackgroundTask) -> None:
    name, clock = watched.name, watched.clock
    log = get_logger("mesh.lifecycle")
    restarts = counter("background_restarts_total", "Restarts of background tasks after a crash.", ("task",))
    pause = FIRST_PAUSE_S
    failure: BaseException
    while True:
        started = clock.monotonic()
        try:
            await coro_fn()
        except asyncio.CancelledError as error:
            if _is_cancelled():
                raise
            failure = error
            log.warning("background task was cancelled from within", task=name)
        except Exception as error:
            failure = error
            if is_transient(error):
                log.warning("background task waits", task=name, reason=str(error))
            else:
                log.exception("background task crashed", task=name)
        else:
            return
        restarts.labels(name).inc()
        if clock.monotonic() - started >= STEADY_S:
            pause = FIRST_PAUSE_S
            watched.recover()
        watched.crash(failure)
        await clock.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE_S)


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


@contextmanager
def _quick_switches() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


@contextmanager
def _signals(stop: asyncio.Event) -> Iterator[None]:
    """Set `stop` on the first signal and cancel the current task on the second. Only the main thread hears signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def on_signal() -> None:
        if stop.is_set() and task is not None:
            task.cancel()
        stop.set()

    for number in _SIGNALS:
        loop.add_signal_handler(number, on_signal)
    try:
        yield
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
