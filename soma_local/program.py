"""Runs a child process: starts it, waits until it is ready, stops it, and ends one that an earlier run left."""

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
from soma_local.identity import HOME_VARIABLE, ProcessIdentity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from soma_local.home import Home

_POLL_S = 0.02
_MAX_LOG_BYTES = 10 * 1024 * 1024
_TAIL_LINES = 15
_ORPHAN_GRACE_S = 10.0


class ProgramFailedError(Exception):
    """A program did not start; the message names it and has the end of its log."""


@dataclass(frozen=True)
class User:
    """The system user that a program runs as."""

    uid: int
    gid: int


@dataclass(frozen=True)
class Command:
    """A command: an absolute executable with arguments, environment, folder and user.

    `reachable` are paths that the user must be able to reach, also through folders that are closed to it.
    """

    argv: Sequence[str]
    environ: Mapping[str, str] = field(default_factory=dict)
    folder: Path = Path("/")
    user: User | None = None
    reachable: Sequence[Path] = ()


def program_folder(home: Home) -> Path:
    """Returns the folder of the run files, one for each program that was started and not stopped."""
    return home.run / "programs"


async def end_orphans(home: Home, grace_s: float = _ORPHAN_GRACE_S) -> list[str]:
    """Ends the programs that a killed supervisor left, the youngest first; returns their names."""
    files = sorted(program_folder(home).glob("*.json"), key=lambda file: file.stat().st_mtime_ns, reverse=True)
    for file in files:
        await _end_recorded(home, file, signal.SIGTERM, grace_s)
    return [file.stem for file in files]


async def _end_recorded(home: Home, file: Path, first: signal.Signals, grace_s: float) -> None:
    """Ends the process of a run file, identified by pid and start time, and then its session."""
    identity = _read_identity(file)
    if identity is not None:
        await identity.end(first, grace_s)
        identity.end_session(home.root)
        _delete(file)


def _read_identity(file: Path) -> ProcessIdentity | None:
    return ProcessIdentity.model_validate_json(file.read_text(encoding="utf-8")) if file.exists() else None


def _delete(file: Path) -> None:
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
        """Returns the command to execute."""

    @abstractmethod
    async def ready(self) -> bool:
        """Returns whether the running program is ready to serve."""

    async def prepare(self) -> None:  # noqa: B027 - most programs need nothing
        """Prepares the start, such as folders and configuration."""

    @property
    def address(self) -> str:
        """Host and port of the program; empty when it does not have exactly one."""
        return ""

    @property
    def log_file(self) -> Path:
        """The file of the program's output."""
        return self._home.logs / f"{self.name}.log"

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._process.pid if self._process is not None and self._poll(self._process) is None else None

    @property
    def _run_file(self) -> Path:
        return program_folder(self._home) / f"{self.name}.json"

    async def start(self) -> None:
        """Starts the program and waits until it is ready; raises ProgramFailedError with the end of its log."""
        self._home.create()
        await self.end_orphan()
        await self.prepare()
        try:
            self._spawn()
            async with asyncio.timeout(self.start_timeout_s):
                await self._wait_until_ready()
        except TimeoutError:
            await self.stop()
            raise ProgramFailedError(
                f"{self.name} was not ready after {self.start_timeout_s:.0f} s{self._log_tail()}"
            ) from None
        except BaseException:
            await self.stop()
            raise

    async def wait(self) -> int:
        """Waits until the program ends; returns its exit status (negative: the signal that ended it)."""
        if self._process is None:
            raise ProgramFailedError(f"{self.name} was not started")
        while (status := self._poll(self._process)) is None:  # noqa: ASYNC110 - a child has no event to wait for
            await asyncio.sleep(_POLL_S * 5)
        return status

    async def stop(self) -> None:
        """Stops the program, kills it after `stop_grace_s`; does nothing when it does not run."""
        process, self._process = self._process, None
        if process is None:
            return
        if self._poll(process) is None and self._identity is not None:
            await self._identity.end(self.stop_signal, self.stop_grace_s)
            self._identity.end_session(self._home.root)
        await asyncio.to_thread(process.wait, self.stop_grace_s)
        _delete(self._run_file)

    async def end_orphan(self) -> None:
        """Ends the process that an earlier run of this program left."""
        await _end_recorded(self._home, self._run_file, self.stop_signal, self.stop_grace_s)

    def log(self, message: str) -> None:
        """Appends a line of the supervisor to the program's log; ignores errors of the disk."""
        with contextlib.suppress(OSError), self.log_file.open("a", encoding="utf-8") as log:
            log.write(f"[soma] {message}\n")

    def rotate_log(self) -> None:
        """Copies a log of more than `_MAX_LOG_BYTES` to `.log.1` and truncates it, also while the program runs.

        What the program writes between copy and truncation is lost.
        """
        if self._log_is_full():
            shutil.copyfile(self.log_file, self._rotated_log)
            os.truncate(self.log_file, 0)

    def wrap(self, command: Command) -> list[str]:
        """Returns the arguments that run the command through `launch`: as its user, ending with this process."""
        options = ["--parent", str(os.getpid()), "--signal", str(int(self.stop_signal))]
        if command.user is not None:
            options += ["--uid", str(command.user.uid), "--gid", str(command.user.gid)]
            options += [f"--reachable={path}" for path in command.reachable]
        return [sys.executable, "-I", "-S", str(launch.__file__), *options, "--", *command.argv]

    def _spawn(self) -> None:
        command = self.command()
        if self._log_is_full():
            self.log_file.replace(self._rotated_log)
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                self.wrap(command),
                cwd=command.folder,
                env={**command.environ, HOME_VARIABLE: str(self._home.root)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._identity = ProcessIdentity.for_pid(self._process.pid)
        if self._identity is not None:
            write_private(self._run_file, self._identity.model_dump_json())

    def _poll(self, process: subprocess.Popen[bytes]) -> int | None:
        """Returns the exit status once it ended; kills its session first, before the pid can be reused."""
        if process.returncode is None and self._identity is not None:
            if self._identity.alive():
                return None
            self._identity.end_session(self._home.root)
        return process.poll()

    @property
    def _rotated_log(self) -> Path:
        return self.log_file.with_suffix(".log.1")

    def _log_is_full(self) -> bool:
        return self.log_file.exists() and self.log_file.stat().st_size > _MAX_LOG_BYTES

    async def _wait_until_ready(self) -> None:
        while True:
            if self._process is None or self._poll(self._process) is not None:
                status = self._process.returncode if self._process is not None else None
                raise ProgramFailedError(
                    f"{self.name} ended with status {status} before it was ready{self._log_tail()}"
                )
            if await self.ready():
                return
            await asyncio.sleep(_POLL_S)

    def _log_tail(self) -> str:
        if not self.log_file.exists():
            return ""
        lines = self.log_file.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL_LINES:]
        return f"\nend of {self.log_file}:\n" + "\n".join(lines)
