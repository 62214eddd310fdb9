"""Runs one child program: start until ready, wait, stop; survives a predecessor that was left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mesh.local import launch
from mesh.local.home import write_private
from mesh.local.identity import ProcessIdentity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mesh.local.home import Home

_POLL_S = 0.02
_LOG_KEEP_BYTES = 10 * 1024 * 1024
_TAIL_LINES = 15
_LEFTOVER_GRACE_S = 10.0


class ProgramFailedError(Exception):
    """A program did not start; the text says which and shows the end of its log."""


@dataclass(frozen=True)
class User:
    """The system user that a program runs as."""

    uid: int
    gid: int


@dataclass(frozen=True)
class Command:
    """What to execute: an absolute executable with arguments, environment, folder and user."""

    argv: Sequence[str]
    environ: Mapping[str, str] = field(default_factory=dict)
    folder: Path = Path("/")
    user: User | None = None
    reach: Sequence[Path] = ()


def program_folder(home: Home) -> Path:
    """Folder with one file for each program that was started and not yet stopped."""
    return home.run / "programs"


async def end_leftovers(home: Home, grace_s: float = _LEFTOVER_GRACE_S) -> list[str]:
    """End every program that a killed supervisor left behind, the youngest first; give their names."""
    files = sorted(program_folder(home).glob("*.json"), key=lambda file: file.stat().st_mtime_ns, reverse=True)
    for file in files:
        await _end_recorded(file, signal.SIGTERM, grace_s)
    return [file.stem for file in files]


async def _end_recorded(file: Path, first: signal.Signals, grace_s: float) -> None:
    """End the process a run file names, told by pid and start time, never by name; then what it had started."""
    identity = _recorded(file)
    if identity is not None:
        await identity.end(first, grace_s)
        identity.end_session()
        _forget(file)


def _recorded(file: Path) -> ProcessIdentity | None:
    return ProcessIdentity.model_validate_json(file.read_text(encoding="utf-8")) if file.exists() else None


def _forget(file: Path) -> None:
    file.unlink(missing_ok=True)


class Program(ABC):
    """One supervised child process with a log file and a run file."""

    stop_signal: signal.Signals = signal.SIGTERM
    start_timeout_s: float = 60.0
    stop_grace_s: float = 10.0

    def __init__(self, name: str, home: Home) -> None:
        self.name = name
        self._home = home
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> Command:
        """Say what to execute."""

    @abstractmethod
    async def ready(self) -> bool:
        """Say whether the running program answers."""

    async def prepare(self) -> None:  # noqa: B027 - most programs need nothing
        """Make what the program needs before it starts."""

    @property
    def address(self) -> str:
        """Host and port it listens on; empty when it has none of its own."""
        return ""

    @property
    def log_file(self) -> Path:
        """Where the program's output goes."""
        return self._home.logs / f"{self.name}.log"

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def _run_file(self) -> Path:
        return program_folder(self._home) / f"{self.name}.json"

    async def start(self) -> None:
        """Start and wait until ready; raise ProgramFailedError with the end of the log otherwise."""
        self._home.create()
        await self.end_leftover()
        await self.prepare()
        self._spawn()
        try:
            async with asyncio.timeout(self.start_timeout_s):
                await self._until_ready()
        except TimeoutError:
            await self.stop()
            raise ProgramFailedError(
                f"{self.name} was not ready after {self.start_timeout_s:.0f} s{self._tail()}"
            ) from None
        except BaseException:
            await self.stop()
            raise

    async def wait(self) -> int:
        """Wait for the end of the program; give its exit status (negative: the signal that ended it)."""
        if self._process is None:
            raise ProgramFailedError(f"{self.name} was not started")
        while (status := self._process.poll()) is None:  # noqa: ASYNC110 - a child has no event to wait for
            await asyncio.sleep(_POLL_S * 5)
        return status

    async def stop(self) -> None:
        """Stop in order, kill after the grace time; nothing happens when it does not run."""
        process, self._process = self._process, None
        if process is None:
            return
        identity = ProcessIdentity.of(process.pid) if process.poll() is None else None
        if identity is not None:
            await identity.end(self.stop_signal, self.stop_grace_s)
            identity.end_session()
        await asyncio.to_thread(process.wait, self.stop_grace_s)
        _forget(self._run_file)

    async def end_leftover(self) -> None:
        """End what an earlier run of this program left behind."""
        await _end_recorded(self._run_file, self.stop_signal, self.stop_grace_s)

    def log(self, message: str) -> None:
        """Add a line of the supervisor to the program's log."""
        with self.log_file.open("a", encoding="utf-8") as log:
            log.write(f"[soma] {message}\n")

    def wrap(self, command: Command) -> list[str]:
        """Give the arguments that run the command through the launcher: as its user, ending with this process."""
        options = ["--parent", str(os.getpid()), "--signal", str(int(self.stop_signal))]
        if command.user is not None:
            options += ["--uid", str(command.user.uid), "--gid", str(command.user.gid)]
            options += [f"--reach={path}" for path in command.reach]
        return [sys.executable, "-I", "-S", str(launch.__file__), *options, "--", *command.argv]

    def _spawn(self) -> None:
        command = self.command()
        if self.log_file.exists() and self.log_file.stat().st_size > _LOG_KEEP_BYTES:
            self.log_file.replace(self.log_file.with_suffix(".log.1"))
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                self.wrap(command),
                cwd=command.folder,
                env={**command.environ},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        identity = ProcessIdentity.of(self._process.pid)
        if identity is not None:
            write_private(self._run_file, identity.model_dump_json())

    async def _until_ready(self) -> None:
        while True:
            if self._process is None or self._process.poll() is not None:
                status = self._process.returncode if self._process is not None else None
                raise ProgramFailedError(f"{self.name} ended with status {status} before it was ready{self._tail()}")
            if await self.ready():
                return
            await asyncio.sleep(_POLL_S)

    def _tail(self) -> str:
        if not self.log_file.exists():
            return ""
        lines = self.log_file.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL_LINES:]
        return f"\nend of {self.log_file}:\n" + "\n".join(lines)
