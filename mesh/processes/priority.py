"""The processor time and the priority of a process that works for tenants."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_TICKS = os.sysconf("SC_CLK_TCK")
LOWEST_NICE = 19
_AFTER_NAME = 2
"""The third field of `/proc/<pid>/stat`; the second, a name in parentheses, may hold spaces."""
_SESSION = 6 - 1 - _AFTER_NAME
_TIMES = slice(14 - 1 - _AFTER_NAME, 18 - 1 - _AFTER_NAME)


def session_of(pid: int) -> Iterator[RunningProcess]:
    """The processes of the session that a process leads."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[_SESSION]) == pid:
                yield RunningProcess(int(stat.parent.name))


class RunningProcess:
    """A process that leads its own session. Where there is no `/proc`, elapsed time stands for processor time."""

    def __init__(self, pid: int) -> None:
        self._proc = Path("/proc") / str(pid)
        self._started = time.monotonic()
        self.lowered = False
        self._group_lowered = False

    def cpu_s(self) -> float:
        """Seconds of processor time that it and what it started used until now; 0.0 when it has ended."""
        if not self._proc.parent.joinpath("self").exists():
            return time.monotonic() - self._started
        return sum(map(_used_s, _with_descendants(self._proc)))

    def set_nice(self, nice: int) -> None:
        """Give it and its threads a nice value, so that event loops come first."""
        with contextlib.suppress(OSError):
            (self._proc / "autogroup").write_text(str(nice))
        for thread in _threads(self._proc):
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, thread, nice)

    def lower_priority(self) -> None:
        """Let it and what it started run only while nothing else wants the processor. It cannot be raised again.

        Linux may group processes by session and share between groups (sched_autogroup); its group is lowered, too. Call
        it again now and then: the kernel may be too busy to lower the group, and a program may be starting.
        """
        self.lowered = True
        if not self._group_lowered:
            with contextlib.suppress(OSError):
                (self._proc / "autogroup").write_text(str(LOWEST_NICE))
                self._group_lowered = True
        for process in _with_descendants(self._proc):
            for thread in _threads(process):
                _set_idle_class(thread)


def _with_descendants(proc: Path) -> Iterator[Path]:
    """A process, then what it started and has not ended. In this order nothing that ends meanwhile counts twice."""
    yield proc
    with contextlib.suppress(OSError):
        for children in (proc / "task").glob("*/children"):
            for pid in children.read_text().split():
                yield from _with_descendants(proc.parent / pid)


def _used_s(proc: Path) -> float:
    """Seconds of processor time of a process and its ended children."""
    try:
        fields = (proc / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[_TIMES])) / _TICKS


def _threads(proc: Path) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(thread.name) for thread in (proc / "task").iterdir()]
    return []


def _set_idle_class(thread: int) -> None:
    """`SCHED_IDLE`, or where that is not allowed the lowest priority. A thread may have ended meanwhile."""
    try:
        os.sched_setscheduler(thread, os.SCHED_IDLE, os.sched_param(0))
    except OSError:
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, thread, LOWEST_NICE)
