"""The watchdog finds what blocks an event loop, and nothing else."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import socket
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from blockbuster import BlockingError

from tests.watchdog import FoundError, watching

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import ModuleType

PLANTED = """
def run(blocking):
    return blocking()

async def run_swallowed(blocking):
    try:
        blocking()
    except Exception:
        return None
"""


def sleep() -> None:
    time.sleep(0)  # noqa: TID251 - it must be found


def connect() -> None:
    with socket.socket() as one, pytest.raises(ConnectionRefusedError):
        one.connect(("127.0.0.1", 1))


def wait_for_a_process() -> None:
    with pytest.raises(ChildProcessError):
        os.waitpid(os.getppid(), 0)


def look_up_a_name() -> None:
    socket.getaddrinfo("localhost", 1)


def wait_for_a_result() -> None:
    with ThreadPoolExecutor(1) as threads:
        threads.submit(threading.Event().wait, 0.01).result()


BLOCKING = [sleep, connect, wait_for_a_process, look_up_a_name, wait_for_a_result]


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A package of ours with whatever blocks; what it finds is forgotten at the end."""
    folder = tmp_path / "mesh" / "planted"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(PLANTED)
    spec = importlib.util.spec_from_file_location(
        "planted", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "planted", module)
    spec.loader.exec_module(module)
    before = len(FoundError.calls)
    with watching(["planted"]):
        yield module
    del FoundError.calls[before:]


@pytest.mark.parametrize("blocking", BLOCKING)
async def test_what_blocks_the_loop_is_found(planted: ModuleType, blocking: Callable[[], None]) -> None:
    with pytest.raises(BlockingError):
        planted.run(blocking)


async def test_what_is_swallowed_is_found_all_the_same(planted: ModuleType) -> None:
    before = len(FoundError.calls)
    await planted.run_swallowed(sleep)
    [found] = FoundError.calls[before:]
    assert found.startswith("time.sleep blocks the event loop, called by ")


@pytest.mark.parametrize("blocking", BLOCKING)
def test_without_a_loop_everything_may_block(planted: ModuleType, blocking: Callable[[], None]) -> None:
    planted.run(blocking)


async def test_a_thread_may_block(planted: ModuleType) -> None:
    await asyncio.to_thread(planted.run, sleep)


async def test_what_does_not_wait_is_let_pass(planted: ModuleType) -> None:
    done: Future[int] = Future()
    done.set_result(7)
    assert planted.run(done.result) == 7


async def test_a_test_may_block(planted: ModuleType) -> None:
    sleep()
