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
_LOWEST_NICE = 19
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

    def processor_s(self) -> float:
        """Seconds of processor time that it and its ended children used until now; 0.0 when it has ended."""
        if not self._proc.parent.joinpath("self").exists():
            return time.monotonic() - self._started
        try:
            fields = (self._proc / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return sum(map(int, fields[_TIMES])) / _TICKS

    def put_behind(self, nice: int) -> None:
        """Give it and its threads a nice value, so that event loops come first."""
        with contextlib.suppress(OSError):
            (self._proc / "autogroup").write_text(str(nice))
        with contextlib.suppress(OSError):
            for thread in (self._proc / "task").iterdir():
                os.setpriority(os.PRIO_PROCESS, int(thread.name), nice)

    def lower(self) -> None:
        """Let it run only while nothing else wants the processor (`SCHED_IDLE`). It cannot be raised again.

        Linux may group processes by session and share between groups (sched_autogroup); its group is lowered, too.
        """
        self.lowered = True
        with contextlib.suppress(OSError):
            (self._proc / "autogroup").write_text(str(_LOWEST_NICE))
        with contextlib.suppress(OSError, AttributeError):
            for thread in (self._proc / "task").iterdir():
                os.sched_setscheduler(int(thread.name), os.SCHED_IDLE, os.sched_param(0))
