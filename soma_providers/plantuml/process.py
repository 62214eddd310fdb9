"""One PlantUML kept alive: a diagram goes in on its standard input, an SVG comes out."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING

from mesh.processes import ProcessLimits, RunningProcess
from soma_local import launch
from soma_providers.port import Failure, FailureOrigin, ProviderError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_DELIMITER = "@@soma-end-of-picture@@"
_END = f"{_DELIMITER}\n".encode()
_MAX_SVG_BYTES = 16 * 1024 * 1024


class PlantUmlProcess:
    """One child that draws one diagram at a time, started with the first and again after it died or hung."""

    def __init__(self, java: Path, jar: Path, font_properties: Path) -> None:
        end_with_us = (
            sys.executable, "-I", "-S", launch.__file__, f"--parent={os.getpid()}", f"--signal={signal.SIGKILL}", "--",
        )  # fmt: skip
        self._argv: Sequence[str] = (
            *end_with_us,
            str(java), "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xms24m", "-Xmx256m", "-Djava.awt.headless=true",
            f"-Dsun.awt.fontconfig={font_properties}", "-jar", str(jar), "-tsvg", "-pipe", "-charset", "UTF-8",
            "-pipedelimitor", _DELIMITER, "--no-error-image",
        )  # fmt: skip
        self._cwd = font_properties.parent
        self._process: asyncio.subprocess.Process | None = None
        self._drawn = 0

    async def draw(self, source: str, timeout_s: float) -> str:
        """Give the SVG of one `@start…@end` block; raise ProviderError with PlantUML's words when it has none."""
        try:
            async with asyncio.timeout(timeout_s):
                text = await self._exchange(source)
        except TimeoutError:
            await self._kill()
            raise ProviderError(
                Failure.TIMEOUT, f"PlantUML did not finish within {timeout_s:.0f} s", origin=FailureOrigin.CALLER
            ) from None
        except BaseException:
            await self._kill()
            raise
        self._drawn += 1
        return text

    async def aclose(self) -> None:
        """End the child."""
        await self._kill()

    async def _exchange(self, source: str) -> str:
        process = await self._started()
        stdin, stdout = process.stdin, process.stdout
        if stdin is None or stdout is None:
            raise ProviderError(Failure.UNAVAILABLE, "PlantUML could not be started")
        try:
            stdin.write(source.encode() + b"\n")
            await stdin.drain()
            answer = await stdout.readuntil(_END)
        # uvloop tells a child that is gone with a RuntimeError.
        except (ConnectionError, RuntimeError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            # One that drew before ended because of this source.
            origin = FailureOrigin.CALLER if self._drawn else FailureOrigin.PROVIDER
            raise ProviderError(Failure.UNAVAILABLE, "PlantUML ended while it drew", origin=origin) from error
        return answer[: -len(_END)].decode("utf-8", errors="replace")

    async def _started(self) -> asyncio.subprocess.Process:
        if self._process is not None and self._process.returncode is None:
            return self._process
        environ = {"PATH": os.environ.get("PATH", ""), "PLANTUML_SECURITY_PROFILE": "SANDBOX", "LC_ALL": "C.UTF-8"}
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._argv, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL, cwd=self._cwd, env=environ, limit=_MAX_SVG_BYTES,
                start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise ProviderError(Failure.UNAVAILABLE, "Java could not be started for PlantUML") from error
        RunningProcess(self._process.pid).set_nice(ProcessLimits.nice)
        return self._process

    async def _kill(self) -> None:
        process, self._process = self._process, None
        self._drawn = 0
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
