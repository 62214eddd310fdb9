"""Lowering processes, whatever their threads do and the kernel allows."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mesh.processes import RunningProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="scheduling classes are Linux's")


class Kernel:
    """Allows nobody `SCHED_IDLE`, and says of each thread that it has just ended."""

    def __init__(self) -> None:
        self.nice: dict[int, int] = {}

    def set_scheduler(self, _thread: int, _policy: int, _param: object) -> None:
        raise PermissionError

    def set_priority(self, _which: int, thread: int, nice: int) -> None:
        self.nice[thread] = nice
        raise ProcessLookupError


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    kernel = Kernel()
    monkeypatch.setattr(os, "sched_setscheduler", kernel.set_scheduler)
    monkeypatch.setattr(os, "setpriority", kernel.set_priority)
    monkeypatch.setattr(Path, "write_text", lambda *_: 0)  # this process keeps its group
    return kernel


@pytest.fixture
def threads() -> Iterator[set[int]]:
    """Threads of this process: two at least."""
    stop = threading.Event()
    other = threading.Thread(target=stop.wait, daemon=True)
    other.start()
    yield {threading.main_thread().native_id or 0, other.native_id or 0}
    stop.set()
    other.join()


def test_a_thread_that_ended_does_not_spare_the_others(kernel: Kernel, threads: set[int]) -> None:
    RunningProcess(os.getpid()).set_nice(10)
    assert threads <= set(kernel.nice)


def test_where_the_idle_class_is_refused_the_lowest_priority_stands_in(kernel: Kernel, threads: set[int]) -> None:
    RunningProcess(os.getpid()).lower_priority()
    assert {kernel.nice.get(thread) for thread in threads} == {19}


def test_a_group_that_could_not_be_lowered_is_tried_again(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []

    def write(path: Path, text: str) -> int:
        written.append(f"{path.name} {text}")
        if len(written) == 1:
            raise BlockingIOError
        return len(text)

    monkeypatch.setattr(Path, "write_text", write)
    process = RunningProcess(os.getpid())
    for _ in range(3):
        process.lower_priority()
    assert written == ["autogroup 19"] * 2
