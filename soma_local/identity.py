"""Tells a process from another that later got the same pid, so that only our own programs are ever ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict

HOME_MARK = "SOMA_SUPERVISED_IN"
"""Variable that tells the home in the environment of every supervised program."""

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
        if not await self._ended_within(grace_s):
            self._signal_group(signal.SIGKILL)
            await self._ended_within(grace_s)

    def end_session(self, home: Path) -> None:
        """Kill what the ended process left in its session (browsers, compilers). Only for session leaders.

        The session may be a stranger's by now, whose leader got the same pid and ended, too. No pid is given again
        while a process of its session is left, so either all members are ours or none is. Ours they are if the leader
        still waits for its parent to ask how it ended, or if one of them has `home` in its environment as HOME_MARK;
        one is enough, because programs run compilers with an environment of their own. Without such proof nobody is
        killed, nor is ever who started in another boot, or before the leader did.
        """
        if _start_mark(self.pid) is not None:
            return  # it lives, or the pid belongs to another program by now
        members = [pid for pid in psutil.pids() if self._left(pid)]
        if _start_mark(self.pid, ended=True) == self.started or any(_is_marked(pid, home) for pid in members):
            for pid in members:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)

    def _left(self, pid: int) -> bool:
        """Say whether a live process of the session may be one that this leader left: of its boot, not older."""
        try:
            mark = _start_mark(pid) if pid != self.pid and os.getsid(pid) == self.pid else None
        except (ProcessLookupError, PermissionError):
            return False
        (boot, tick), (its_boot, its_tick) = _parts(self.started), _parts(mark or "")
        return mark is not None and its_boot == boot and its_tick >= tick

    async def _ended_within(self, seconds: float) -> bool:
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


def _is_marked(pid: int, home: Path) -> bool:
    try:
        return bool(psutil.Process(pid).environ().get(HOME_MARK) == str(home))
    except (psutil.Error, OSError):
        return False


def _parts(mark: str) -> tuple[str, float]:
    """Boot id, empty where the system has none, and start."""
    boot, _, tick = mark.rpartition(":")
    return boot, float(tick or 0)


def _start_mark(pid: int, *, ended: bool = False) -> str | None:
    """Give boot id and start tick of a live process: exact, unlike a wall-clock time; of a zombie only if `ended`."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except (FileNotFoundError, ProcessLookupError):
        return None if Path("/proc/self/stat").exists() else _start_mark_elsewhere(pid)
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" and not ended else f"{boot}:{fields[19]}"


def _start_mark_elsewhere(pid: int) -> str | None:
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else str(process.create_time())
    except psutil.NoSuchProcess:
        return None
