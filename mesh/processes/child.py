"""One child process and the calls it is given."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import signal
import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mesh.processes.limits import ProcessEndedError, ResourceLimitError, TimeLimitError
from mesh.processes.priority import RunningProcess

if TYPE_CHECKING:
    from collections.abc import Callable

    from mesh.processes.limits import ProcessLimits

_WORKER = Path(__file__).with_name("worker.py")
_LENGTH = struct.Struct(">Q")
_MIB = 1024 * 1024
_GRACE_S = 2.0
_PASSED_ON = (
    "PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "XDG_CACHE_HOME", "MPLCONFIGDIR",
    "FONTCONFIG_FILE", "FONTCONFIG_PATH", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE",
)  # fmt: skip
"""Variables that children get: no secret of the service is among them."""
_GONE = (asyncio.IncompleteReadError, ConnectionError, RuntimeError)  # uvloop tells a closed pipe by a RuntimeError


class Child:
    """A process that runs one call at a time. `idle_since` is the monotonic time of its last answer."""

    def __init__(self, process: asyncio.subprocess.Process, limits: ProcessLimits) -> None:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("a child process needs pipes")
        self._process = process
        self._stdin, self._stdout = process.stdin, process.stdout
        self._limits = limits
        self.running = RunningProcess(process.pid)
        self.calls = 0
        self._waits = True
        self.idle_since = 0.0

    @classmethod
    async def start(cls, limits: ProcessLimits) -> Child:
        """Start a process that waits for calls; raises ProcessEndedError when the system refuses one."""
        environ = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", str(_WORKER), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL, env={**environ, **threads}, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise ProcessEndedError("a child process could not be started") from error
        child = cls(process, limits)
        memory, result = limits.memory_mb * _MIB, limits.result_mb * _MIB
        child._send(pickle.dumps((sys.path, limits.cpu_s, memory, result, limits.nice)))
        return child

    @property
    def usable(self) -> bool:
        """Whether it may get another call: it waits for one, and was not told to end."""
        return self._waits and self._process.returncode is None and self.calls < self._limits.calls

    async def call(self, function: Callable[..., object], args: tuple[object, ...], time_s: float) -> object:
        """The result of a call, or what it raised. On any failure to answer the process is killed."""
        self.calls += 1
        self._waits = False
        try:
            async with asyncio.timeout(time_s):
                worked, value = await self._exchange(pickle.dumps((function, args)))
            self._waits = True
        except TimeoutError:
            await self.kill()
            raise TimeLimitError(f"it took more than {time_s:g} seconds") from None
        except _GONE as error:
            raise await self._end() from error
        except BaseException:
            await self.kill()
            raise
        if worked:
            return value
        if isinstance(value, MemoryError):
            await self.kill()
            raise ResourceLimitError(f"{value}; the limit is {self._limits.memory_mb} MiB")
        if isinstance(value, Exception):
            raise value
        raise ProcessEndedError("the process answered with neither a result nor an error")

    async def kill(self) -> None:
        """End the process at once, whatever it does."""
        self._waits = False
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

    async def _exchange(self, frame: bytes) -> tuple[bool, object]:
        self._send(frame)
        await self._stdin.drain()
        (length,) = _LENGTH.unpack(await self._stdout.readexactly(_LENGTH.size))
        if length > (self._limits.result_mb + 1) * _MIB:
            raise ResourceLimitError(f"its result has {length} bytes")
        worked, value = pickle.loads(await self._stdout.readexactly(length))  # noqa: S301 - our own program wrote it
        return bool(worked), value

    def _send(self, frame: bytes) -> None:
        self._stdin.write(_LENGTH.pack(len(frame)))
        self._stdin.write(frame)

    async def _end(self) -> Exception:
        """Why the process is gone."""
        try:  # it is not killed first: to signal a process that has ended would take its status from who waits for it
            async with asyncio.timeout(_GRACE_S):
                await self._process.wait()
        except TimeoutError:
            await self.kill()
        if self._process.returncode == -signal.SIGXCPU:
            return TimeLimitError(f"it used more than {self._limits.cpu_s:g} seconds of processor time")
        return ProcessEndedError(f"its process ended with status {self._process.returncode}")
