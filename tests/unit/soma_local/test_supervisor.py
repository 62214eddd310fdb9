"""The supervisor keeps programs running and leaves none behind."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mesh.clock import SystemClock
from soma_local.identity import ProcessIdentity
from soma_local.program import ProgramFailedError, end_orphans, program_folder
from soma_local.supervisor import Backoff, ProgramState, Supervisor
from tests.unit.soma_local.programs import TinyProgram, journal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from soma_local.home import Home

    Eventually = Callable[[Callable[[], bool]], Awaitable[None]]

_HERE = Path(__file__).parent
QUICK = Backoff(initial_s=0.01, max_s=0.05, reset_after_s=60)


async def test_programs_stop_in_reverse_order_of_their_groups(home: Home, tmp_path: Path) -> None:
    supervisor = Supervisor(SystemClock(), QUICK)
    for name in ("engine", "service", "door"):
        await supervisor.start([TinyProgram(name, home, tmp_path)])
    await supervisor.stop()
    assert journal(tmp_path) == [
        "engine started", "service started", "door started", "door stopped", "service stopped", "engine stopped",
    ]  # fmt: skip


async def test_a_killed_program_starts_again(home: Home, tmp_path: Path, eventually: Eventually) -> None:
    supervisor = Supervisor(SystemClock(), QUICK)
    program = TinyProgram("service", home, tmp_path)
    await supervisor.start([program])
    first = program.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await eventually(lambda: supervisor.statuses()[0].restarts == 1)
    await eventually(lambda: supervisor.statuses()[0].state is ProgramState.RUNNING)
    status = supervisor.statuses()[0]
    assert status.pid not in {None, first}
    assert status.last_exit == -signal.SIGKILL
    await supervisor.stop()


async def test_a_program_that_keeps_failing_is_tried_again(home: Home, tmp_path: Path, eventually: Eventually) -> None:
    supervisor = Supervisor(SystemClock(), QUICK)
    program = TinyProgram("service", home, tmp_path)
    await supervisor.start([program])
    program.mode = "crash"
    os.kill(program.pid or 0, signal.SIGKILL)
    await eventually(lambda: supervisor.statuses()[0].restarts >= 3)
    program.mode = "serve"
    await eventually(lambda: supervisor.statuses()[0].state is ProgramState.RUNNING)
    await supervisor.stop()


async def test_a_program_that_cannot_start_fails_the_start(home: Home, tmp_path: Path) -> None:
    supervisor = Supervisor(SystemClock(), QUICK)
    with pytest.raises(ProgramFailedError, match="service ended with status 3"):
        await supervisor.start([TinyProgram("service", home, tmp_path, mode="crash")])
    await supervisor.stop()


async def test_a_program_that_ignores_the_request_to_stop_is_killed(home: Home, tmp_path: Path) -> None:
    program = TinyProgram("service", home, tmp_path, mode="stubborn")
    program.stop_grace_s = 0.2
    await program.start()
    identity = ProcessIdentity.for_pid(program.pid or 0)
    await program.stop()
    assert identity is not None
    assert not identity.alive()


def test_the_wait_before_a_restart_doubles_up_to_a_limit() -> None:
    backoff = Backoff(initial_s=1, max_s=5)
    assert [backoff.delay_s(failures) for failures in (1, 2, 3, 4, 500)] == [1, 2, 4, 5, 5]


async def test_programs_end_with_a_killed_supervisor(home: Home, tmp_path: Path, eventually: Eventually) -> None:
    pids = await _killed_supervisor(home, tmp_path, "serve")
    await eventually(lambda: not any(ProcessIdentity.for_pid(pid) for pid in pids))


async def test_programs_that_outlive_a_killed_supervisor_are_ended(home: Home, tmp_path: Path) -> None:
    pids = await _killed_supervisor(home, tmp_path, "stubborn")
    assert all(ProcessIdentity.for_pid(pid) for pid in pids)
    recorded = [file.stem for file in program_folder(home).glob("*.json")]
    ended = await end_orphans(home, grace_s=0.2)
    assert sorted(ended) == sorted(recorded) == ["one", "two"]
    assert not any(ProcessIdentity.for_pid(pid) for pid in pids)


async def test_a_reused_pid_is_never_ended(home: Home) -> None:
    stranger = await asyncio.create_subprocess_exec(sys.executable, "-S", "-c", "import signal; signal.pause()")
    try:
        program_folder(home).mkdir(parents=True, exist_ok=True)
        earlier = ProcessIdentity(pid=stranger.pid, started="boot:1")
        (program_folder(home) / "service.json").write_text(earlier.model_dump_json())
        await end_orphans(home, grace_s=0.2)
        assert stranger.returncode is None
    finally:
        stranger.kill()
        await stranger.wait()


async def _killed_supervisor(home: Home, folder: Path, mode: str) -> list[int]:
    """Run a supervisor with two programs in a process of its own, kill it, give the programs' pids."""
    script = f"""
        import asyncio, pathlib, sys
        sys.path.insert(0, {str(_HERE)!r})
        from programs import TinyProgram
        from mesh.clock import SystemClock
        from soma_local.home import Home
        from soma_local.supervisor import Supervisor
        async def main():
            home, folder = Home(pathlib.Path({str(home.root)!r})), pathlib.Path({str(folder)!r})
            await Supervisor(SystemClock()).start([TinyProgram(n, home, folder, {mode!r}) for n in ("one", "two")])
            print("up", flush=True)
            await asyncio.Event().wait()
        asyncio.run(main())
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", textwrap.dedent(script), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"up\n"
    process.kill()
    await process.wait()
    return [int((folder / f"{name}.up").read_text()) for name in ("one", "two")]
