"""The mesh as a whole starts and stops whatever becomes of its state file and of the optional browser."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING

import pytest

from mesh.testing.clock import FakeClock
from soma_local import locate
from soma_local.locate import MissingError
from soma_local.ports import free_port
from soma_local.program import ProgramFailedError
from soma_local.stack import LocalMesh, Options
from soma_local.supervisor import HomeLock, Phase, StateFile, Supervisor

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from soma_local.home import Home
    from soma_local.program import Program

    Eventually = Callable[[Callable[[], bool]], Awaitable[None]]


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the programs that are to run; none is started."""
    names: list[str] = []

    async def start(_: Supervisor, programs: Sequence[Program]) -> None:
        names.extend(program.name for program in programs)

    async def provision(*_: object) -> None:
        return

    monkeypatch.setattr(Supervisor, "start", start)
    monkeypatch.setattr(LocalMesh, "_provision", provision)
    return names


@pytest.fixture
def no_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(home: Home) -> None:
        raise MissingError("no Chromium")

    monkeypatch.setattr(locate, "chromium", missing)


def _mesh(home: Home, clock: FakeClock | None = None) -> LocalMesh:
    return LocalMesh(home, Options(edge_port=free_port()), clock or FakeClock(), os.getpid())


async def test_the_mesh_does_not_wait_for_a_browser_that_does_not_come(
    home: Home, kept: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived = threading.Event()
    monkeypatch.setattr(locate, "chromium", lambda _: arrived.wait(100))
    clock = FakeClock()
    mesh = _mesh(home, clock)
    try:
        starting = asyncio.create_task(mesh.start())
        await clock.advance(await clock.sleeper())
        await starting
        assert {"services", "envoy"} <= set(kept)
        state = StateFile(home).read()
        assert state is not None
        assert state.phase is Phase.READY
    finally:
        arrived.set()
        await mesh.stop()


@pytest.mark.usefixtures("kept", "no_browser")
async def test_the_mesh_starts_and_stops_though_its_state_cannot_be_written(home: Home) -> None:
    (home.run / "state.json").mkdir()
    mesh = _mesh(home)
    await mesh.start()
    (home.run / "state.json").rmdir()
    await mesh.stop()
    state = StateFile(home).read()
    assert state is not None
    assert state.phase is Phase.STOPPED


@pytest.mark.usefixtures("kept", "no_browser")
async def test_a_stop_that_failed_is_told_and_gives_the_home_back(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    async def stop(_: Supervisor) -> None:
        raise ProgramFailedError("services could not be stopped")

    mesh = _mesh(home)
    await mesh.start()
    monkeypatch.setattr(Supervisor, "stop", stop)
    await mesh.stop()
    state = StateFile(home).read()
    assert state is not None
    assert (state.phase, state.message) == (Phase.FAILED, "services could not be stopped")
    again = HomeLock(home)
    again.acquire()
    again.release()
