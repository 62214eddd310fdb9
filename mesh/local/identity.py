"""Tells a process from another that later got the same pid, so that only our own programs are ever ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict

_POLL_S = 0.05


class ProcessIdentity(BaseModel):
    """A process, named so that it cannot be mistaken after its pid is given to another."""

    model_config = ConfigDict(frozen=True)

    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> ProcessIdentity | None:
        """Give the identity of a running process; None when there is none."""
        started = _start_mark(pid)
        return cls(pid=pid, started=started) if started is not None else None

    def alive(self) -> bool:
        """Say whether this very process still runs (a zombie does not)."""
        return _start_mark(self.pid) == self.started

    async def end(self, first: signal.Signals, grace_s: float) -> None:
        """Ask the process and then its group to stop; kill after `grace_s` seconds. Does nothing if it is gone."""
        if not self.alive():
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, first)
        if not await self._gone_within(grace_s):
            self._signal_group(signal.SIGKILL)
            await self._gone_within(grace_s)

    def end_session(self) -> None:
        """Kill what the ended process left in its session (browsers, compilers). Only for session leaders."""
        if _start_mark(self.pid) is not None:
            return  # it lives, or the pid belongs to another program by now
        for pid in psutil.pids():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if pid != self.pid and os.getsid(pid) == self.pid:
                    os.kill(pid, signal.SIGKILL)

    async def _gone_within(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.alive():  # noqa: ASYNC110 - another process's end has no event to wait for
                    await asyncio.sleep(_POLL_S)
        return not self.alive()

    def _signal_group(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            if os.getpgid(self.pid) == self.pid:
                os.killpg(self.pid, number)
            else:
                os.kill(self.pid, number)


def _start_mark(pid: int) -> str | None:
    """Give boot id and start tick of a live process: exact, unlike a wall-clock time."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except (FileNotFoundError, ProcessLookupError):
        return None if Path("/proc/self/stat").exists() else _start_mark_elsewhere(pid)
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else f"{boot}:{fields[19]}"


def _start_mark_elsewhere(pid: int) -> str | None:
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else str(process.create_time())
    except psutil.NoSuchProcess:
        return None
