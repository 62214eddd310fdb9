"""Supervision goes on whatever fails: a full disk, an unforeseen error, a program that cannot be stopped."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from mesh.clock import SystemClock
from mesh.testing.clock import FakeClock
from soma_local import program as programs
from soma_local.identity import ProcessIdentity
from soma_local.program import Command, Program, ProgramFailedError, program_folder
from soma_local.supervisor import Backoff, ProgramState, Supervisor
from tests.unit.soma_local.programs import TinyProgram, journal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from soma_local.home import Home

    Eventually = Callable[[Callable[[], bool]], Awaitable[None]]

QUICK = Backoff(initial_s=0.01, max_s=0.05, reset_after_s=60)


class Troubled(TinyProgram):
    """Raises what it is told to when it starts or stops."""

    starting: Exception | None = None
    stopping: Exception | None = None
    failed = 0

    async def prepare(self) -> None:
        await super().prepare()
        if self.starting is not None:
            self.failed += 1
            raise self.starting

    async def stop(self) -> None:
        await super().stop()
        if self.stopping is not None:
            raise self.stopping


async def test_a_program_starts_again_though_its_state_cannot_be_told(
    home: Home, tmp_path: Path, eventually: Eventually
) -> None:
    def full() -> None:
        raise OSError(28, "No space left on device")

    supervisor = Supervisor(SystemClock(), QUICK, on_change=full)
    program = TinyProgram("service", home, tmp_path)
    await supervisor.start([program])
    os.kill(program.pid or 0, signal.SIGKILL)
    await eventually(lambda: supervisor.statuses()[0].restarts == 1)
    await eventually(lambda: supervisor.statuses()[0].state is ProgramState.RUNNING)
    await supervisor.stop()


@pytest.mark.parametrize("trouble", [ValueError("unforeseen"), ExceptionGroup("several", [KeyError("one")])])
async def test_any_error_of_a_restart_is_followed_by_another(
    home: Home, tmp_path: Path, eventually: Eventually, trouble: Exception
) -> None:
    supervisor = Supervisor(SystemClock(), QUICK)
    program = Troubled("service", home, tmp_path)
    await supervisor.start([program])
    program.starting = trouble
    os.kill(program.pid or 0, signal.SIGKILL)
    await eventually(lambda: program.failed >= 2)
    program.starting = None
    await eventually(lambda: supervisor.statuses()[0].state is ProgramState.RUNNING)
    await supervisor.stop()


async def test_a_log_that_cannot_be_written_does_not_end_supervision(
    home: Home, tmp_path: Path, eventually: Eventually
) -> None:
    supervisor = Supervisor(SystemClock(), QUICK)
    program = Troubled("service", home, tmp_path)
    await supervisor.start([program])
    program.starting = ValueError("unforeseen")
    program.log_file.unlink()
    program.log_file.mkdir()
    os.kill(program.pid or 0, signal.SIGKILL)
    await eventually(lambda: program.failed >= 2)
    await supervisor.stop()


async def test_a_program_whose_run_file_cannot_be_written_does_not_keep_running(home: Home, tmp_path: Path) -> None:
    program = TinyProgram("service", home, tmp_path)
    program_folder(home).write_text("no folder")
    with pytest.raises(OSError, match=r"File exists|Not a directory"):
        await program.start()
    assert program.pid is None
    assert program._identity is not None
    assert not program._identity.alive()


async def test_a_program_that_cannot_be_stopped_is_named_and_keeps_no_other_running(home: Home, tmp_path: Path) -> None:
    supervisor = Supervisor(SystemClock(), QUICK)
    engine, service = TinyProgram("engine", home, tmp_path), Troubled("service", home, tmp_path)
    await supervisor.start([engine])
    await supervisor.start([service, TinyProgram("other", home, tmp_path)])
    service.stopping = PermissionError("not permitted")
    with pytest.raises(ProgramFailedError, match="service could not be stopped: not permitted"):
        await supervisor.stop()
    assert {"engine stopped", "other stopped"} <= set(journal(tmp_path))
    assert supervisor.statuses() == ()


async def test_an_ended_watch_does_not_keep_its_program_from_being_stopped(
    home: Home, tmp_path: Path, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_: Supervisor, kept: object) -> None:
        raise RuntimeError("the watch itself is broken")

    monkeypatch.setattr(Supervisor, "_watch", broken)
    supervisor = Supervisor(SystemClock(), QUICK)
    program = TinyProgram("service", home, tmp_path)
    await supervisor.start([program])
    task = supervisor._groups[0][0].task
    await eventually(lambda: task is not None and task.done())
    await supervisor.stop()
    assert journal(tmp_path) == ["service started", "service stopped"]
    assert task is not None
    assert isinstance(task.exception(), RuntimeError)


class Talker(Program):
    """Writes a line each time it is told to."""

    start_timeout_s = 20.0
    _script = (
        "import signal\nsignal.signal(signal.SIGUSR1, lambda *_: print('line', flush=True))\nprint('up', flush=True)\n"
    )

    def command(self) -> Command:
        return Command([sys.executable, "-S", "-c", f"{self._script}while True: signal.pause()"])

    async def ready(self) -> bool:
        return self.log_file.stat().st_size > 0


async def test_a_log_that_grew_long_begins_anew_while_its_program_runs(
    home: Home, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock()
    supervisor = Supervisor(clock, QUICK)
    program = Talker("talker", home)
    await supervisor.start([program])
    first = ProcessIdentity.for_pid(program.pid or 0)
    await clock.sleeper()
    await clock.advance(3600)
    assert program.log_file.read_text() == "up\n"
    monkeypatch.setattr(programs, "_MAX_LOG_BYTES", 2)
    await clock.advance(3600)
    assert program.log_file.read_text() == ""
    assert program.log_file.with_suffix(".log.1").read_text() == "up\n"
    os.kill(program.pid or 0, signal.SIGUSR1)
    await eventually(lambda: program.log_file.read_text() == "line\n")
    assert first is not None
    assert first.alive()
    await supervisor.stop()


async def test_a_log_that_cannot_be_rotated_is_tried_again(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    supervisor = Supervisor(clock, QUICK)
    program = Talker("talker", home)
    await supervisor.start([program])
    monkeypatch.setattr(programs, "_MAX_LOG_BYTES", 2)
    older = program.log_file.with_suffix(".log.1")
    older.mkdir()
    await clock.sleeper()
    await clock.advance(3600)
    assert program.log_file.read_text() == "up\n"
    older.rmdir()
    await clock.advance(3600)
    assert older.read_text() == "up\n"
    await supervisor.stop()
