"""Identifies processes by pid and start time, so that none is killed that got the pid of another."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict

HOME_VARIABLE = "SOMA_SUPERVISED_IN"
"""Environment variable of every supervised program: the folder of its mesh."""

_POLL_S = 0.05


class ProcessIdentity(BaseModel):
    """A process by pid and start time, which a later process with the same pid does not have."""

    model_config = ConfigDict(frozen=True)

    pid: int
    started: str

    @classmethod
    def for_pid(cls, pid: int) -> ProcessIdentity | None:
        """Returns the identity of a running process; None when the pid has none."""
        started = _start_id(pid)
        return cls(pid=pid, started=started) if started is not None else None

    def alive(self) -> bool:
        """Returns whether this process still runs; a zombie does not."""
        return _start_id(self.pid) == self.started

    async def end(self, first: signal.Signals, grace_s: float) -> None:
        """Signals the process; kills its process group after `grace_s` seconds. Does nothing when it has ended."""
        if not self.alive():
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, first)
        if not await self._wait_for_end(grace_s):
            self._signal_group(signal.SIGKILL)
            await self._wait_for_end(grace_s)

    def end_session(self, home: Path) -> None:
        """Kills what the ended process left in its session, such as browsers. Only for session leaders.

        The session may be that of another leader by now, which got the same pid and has ended as well. The kernel does
        not reuse a pid while its session has processes, so either all members are descendants of our process or none
        is. They are if the leader is still a zombie, or if one of them has `home` as HOME_VARIABLE in its environment;
        one is enough, because programs run compilers with an environment of their own. Otherwise nothing is killed, and
        never a process that started in another boot or before the leader.
        """
        if _start_id(self.pid) is not None:
            return  # it runs, or the pid belongs to another process by now
        members = [pid for pid in psutil.pids() if self._may_be_descendant(pid)]
        if _start_id(self.pid, ended=True) == self.started or any(_has_home(pid, home) for pid in members):
            for pid in members:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)

    def _may_be_descendant(self, pid: int) -> bool:
        """Returns whether a running process of the session started in the same boot as the leader, not before it."""
        try:
            start_id = _start_id(pid) if pid != self.pid and os.getsid(pid) == self.pid else None
        except (ProcessLookupError, PermissionError):
            return False
        (leader_boot, leader_tick), (boot, tick) = _parse_start_id(self.started), _parse_start_id(start_id or "")
        return start_id is not None and boot == leader_boot and tick >= leader_tick

    async def _wait_for_end(self, seconds: float) -> bool:
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


def _has_home(pid: int, home: Path) -> bool:
    try:
        return bool(psutil.Process(pid).environ().get(HOME_VARIABLE) == str(home))
    except (psutil.Error, OSError):
        return False


def _parse_start_id(start_id: str) -> tuple[str, float]:
    """Returns the boot id, "" where the system has none, and the start."""
    boot, _, tick = start_id.rpartition(":")
    return boot, float(tick or 0)


def _start_id(pid: int, *, ended: bool = False) -> str | None:
    """Returns boot id and start tick of a process, which unlike a wall-clock time are exact; of a zombie if `ended`."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except (FileNotFoundError, ProcessLookupError):
        return None if Path("/proc/self/stat").exists() else _start_id_without_proc(pid)
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" and not ended else f"{boot}:{fields[19]}"


def _start_id_without_proc(pid: int) -> str | None:
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else str(process.create_time())
    except psutil.NoSuchProcess:
        return None
