"""Runs one child program: start until ready, wait, stop; survives a predecessor that was left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from soma_local import launch
from soma_local.home import write_private
from soma_local.identity import HOME_MARK, ProcessIdentity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from soma_local.home import Home

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
        await _end_recorded(home, file, signal.SIGTERM, grace_s)
    return [file.stem for file in files]


async def _end_recorded(home: Home, file: Path, first: signal.Signals, grace_s: float) -> None:
    """End the process a run file names, told by pid and start time, never by name; then what it had started."""
    identity = _recorded(file)
    if identity is not None:
        await identity.end(first, grace_s)
        identity.end_session(home.root)
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
        self._identity: ProcessIdentity | None = None

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
        return self._process.pid if self._process is not None and self._poll(self._process) is None else None

    @property
    def _run_file(self) -> Path:
        return program_folder(self._home) / f"{self.name}.json"

    async def start(self) -> None:
        """Start and wait until ready; raise ProgramFailedError with the end of the log otherwise."""
        self._home.create()
        await self.end_leftover()
        await self.prepare()
        try:
            self._spawn()
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
        while (status := self._poll(self._process)) is None:  # noqa: ASYNC110 - a child has no event to wait for
            await asyncio.sleep(_POLL_S * 5)
        return status

    async def stop(self) -> None:
        """Stop in order, kill after the grace time; nothing happens when it does not run."""
        process, self._process = self._process, None
        if process is None:
            return
        if self._poll(process) is None and self._identity is not None:
            await self._identity.end(self.stop_signal, self.stop_grace_s)
            self._identity.end_session(self._home.root)
        await asyncio.to_thread(process.wait, self.stop_grace_s)
        _forget(self._run_file)

    async def end_leftover(self) -> None:
        """End what an earlier run of this program left behind."""
        await _end_recorded(self._home, self._run_file, self.stop_signal, self.stop_grace_s)

    def log(self, message: str) -> None:
        """Add a line of the supervisor to the program's log, unless the disk refuses it."""
        with contextlib.suppress(OSError), self.log_file.open("a", encoding="utf-8") as log:
            log.write(f"[soma] {message}\n")

    def rotate_log(self) -> None:
        """Copy a log that grew too long aside and empty it, also while the program runs: all its writes append.

        What it writes between the two is lost.
        """
        if self._log_is_long():
            shutil.copyfile(self.log_file, self._older_log)
            os.truncate(self.log_file, 0)

    def wrap(self, command: Command) -> list[str]:
        """Give the arguments that run the command through the launcher: as its user, ending with this process."""
        options = ["--parent", str(os.getpid()), "--signal", str(int(self.stop_signal))]
        if command.user is not None:
            options += ["--uid", str(command.user.uid), "--gid", str(command.user.gid)]
            options += [f"--reach={path}" for path in command.reach]
        return [sys.executable, "-I", "-S", str(launch.__file__), *options, "--", *command.argv]

    def _spawn(self) -> None:
        command = self.command()
        if self._log_is_long():
            self.log_file.replace(self._older_log)
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                self.wrap(command),
                cwd=command.folder,
                env={**command.environ, HOME_MARK: str(self._home.root)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._identity = ProcessIdentity.of(self._process.pid)
        if self._identity is not None:
            write_private(self._run_file, self._identity.model_dump_json())

    def _poll(self, process: subprocess.Popen[bytes]) -> int | None:
        """Give the exit status once it ended; what it left in its session is ended before its pid can be reused."""
        if process.returncode is None and self._identity is not None:
            if self._identity.alive():
                return None
            self._identity.end_session(self._home.root)
        return process.poll()

    @property
    def _older_log(self) -> Path:
        return self.log_file.with_suffix(".log.1")

    def _log_is_long(self) -> bool:
        return self.log_file.exists() and self.log_file.stat().st_size > _LOG_KEEP_BYTES

    async def _until_ready(self) -> None:
        while True:
            if self._process is None or self._poll(self._process) is not None:
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
