"""What an ended program left in its session is ended, and never a stranger who got the same pid."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from soma_local.identity import HOME_VARIABLE, ProcessIdentity
from soma_local.program import Command, Program

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from soma_local.home import Home

    Eventually = Callable[[Callable[[], bool]], Awaitable[None]]

# A session leader that starts a child with the arguments' environment, writes both pids and, if told to, ends.
_LEADER = """
import os, pathlib, signal, subprocess, sys
file, stays, *environ = sys.argv[1:]
child = subprocess.Popen(
    [sys.executable, "-S", "-c", "import signal; print(1, flush=True); signal.pause()"],
    env=dict(item.split("=", 1) for item in environ), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
)
child.stdout.readline()
pathlib.Path(file + ".new").write_text(str(child.pid))
os.rename(file + ".new", file)
if stays == "stays":
    signal.pause()
os._exit(0)
"""


class Left:
    """A daemon in the session of a leader that ended and was waited for."""

    def __init__(self, folder: Path, *environ: str) -> None:
        argv = [sys.executable, "-S", "-c", _LEADER, str(folder / "child"), "ends", *environ]
        leader = subprocess.Popen(argv, start_new_session=True)
        leader.wait(20)
        self.leader = leader.pid
        child = ProcessIdentity.for_pid(int((folder / "child").read_text()))
        assert child is not None
        self.child = child
        self.boot, _, self.tick = child.started.rpartition(":")


@pytest.fixture
def left(tmp_path: Path) -> Iterator[Callable[..., Left]]:
    made: list[Left] = []

    def make(*environ: str) -> Left:
        made.append(Left(tmp_path, *environ))
        return made[-1]

    yield make
    for one in made:
        if one.child.alive():
            os.kill(one.child.pid, signal.SIGKILL)


async def test_what_a_program_of_the_home_left_in_its_session_is_ended(
    home: Home, left: Callable[..., Left], eventually: Eventually
) -> None:
    daemon = left(f"{HOME_VARIABLE}={home.root}")
    ProcessIdentity(pid=daemon.leader, started=f"{daemon.boot}:{daemon.tick}").end_session(home.root)
    await eventually(lambda: not daemon.child.alive())


async def test_a_session_of_another_boot_is_not_ours(home: Home, left: Callable[..., Left]) -> None:
    daemon = left(f"{HOME_VARIABLE}={home.root}")
    ProcessIdentity(pid=daemon.leader, started=f"another-boot:{daemon.tick}").end_session(home.root)
    assert not await _ended(daemon)


async def test_who_started_before_the_leader_is_not_ours(home: Home, left: Callable[..., Left]) -> None:
    daemon = left(f"{HOME_VARIABLE}={home.root}")
    ProcessIdentity(pid=daemon.leader, started=f"{daemon.boot}:{int(daemon.tick) + 1}").end_session(home.root)
    assert not await _ended(daemon)


@pytest.mark.parametrize("environ", [(), (f"{HOME_VARIABLE}=/another/home",)])
async def test_a_later_session_of_the_same_pid_is_not_ours(
    home: Home, left: Callable[..., Left], environ: tuple[str, ...]
) -> None:
    daemon = left(*environ)
    ProcessIdentity(pid=daemon.leader, started=f"{daemon.boot}:1").end_session(home.root)
    assert not await _ended(daemon)


async def _ended(daemon: Left) -> bool:
    """Whether it was killed: a signal that was sent earlier is delivered before the one that is sent here."""
    os.kill(daemon.child.pid, signal.SIGSTOP)
    async with asyncio.timeout(20):
        while daemon.child.alive() and not _stopped(daemon.child.pid):  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.01)
    return not daemon.child.alive()


def _stopped(pid: int) -> bool:
    return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)


class Parent(Program):
    """A program whose child has nothing in its environment, as the compilers of diagrams do."""

    start_timeout_s = 20.0

    def __init__(self, home: Home, folder: Path) -> None:
        super().__init__("parent", home)
        self._file = folder / "child"

    def command(self) -> Command:
        return Command([sys.executable, "-S", "-c", _LEADER, str(self._file), "stays"])

    async def ready(self) -> bool:
        return self._file.exists()

    def child(self) -> ProcessIdentity:
        found = ProcessIdentity.for_pid(int(self._file.read_text()))
        assert found is not None
        return found


async def test_the_children_of_a_stopped_program_are_ended(home: Home, tmp_path: Path, eventually: Eventually) -> None:
    program = Parent(home, tmp_path)
    await program.start()
    child = program.child()
    await program.stop()
    await eventually(lambda: not child.alive())


async def test_the_children_of_a_crashed_program_are_ended(home: Home, tmp_path: Path, eventually: Eventually) -> None:
    program = Parent(home, tmp_path)
    await program.start()
    child = program.child()
    os.kill(program.pid or 0, signal.SIGKILL)
    assert await program.wait() == -signal.SIGKILL
    await eventually(lambda: not child.alive())


async def test_a_program_knows_its_home(home: Home, tmp_path: Path) -> None:
    program = Parent(home, tmp_path)
    await program.start()
    variables = psutil.Process(program.pid).environ()
    await program.stop()
    assert variables[HOME_VARIABLE] == str(home.root)
