"""Kills and pauses the programs of a mesh: services, engines and the supervisor itself."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import psutil

from mesh.testing.contract import eventually
from soma_local.supervisor import Phase, ProgramState, StateFile

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator, Sequence

    from tests.e2e.conftest import RunningMesh

SUPERVISOR = "supervisor"
_BACK_WITHIN_S = 120.0
_PAUSED_AT_MOST_S = 60.0


@dataclass(frozen=True)
class Disruption:
    """What is done to a program once so many messages are done; `pause` is 0 for a kill, else the tries it lasts."""

    due: int
    victim: str
    pause: int = 0


def disruptions(
    victims: Sequence[str], kills: int, pauses: int, messages: int, random_source: random.Random
) -> list[Disruption]:
    """Kills and pauses at random places of the run, shared out over the victims as evenly as they can be."""

    def shared(count: int) -> Iterator[str]:
        while count > 0:
            turn = random_source.sample(victims, min(count, len(victims)))
            yield from turn
            count -= len(turn)

    def due() -> int:
        return round(random_source.uniform(0.02, 0.9) * messages)

    done = [Disruption(due(), victim) for victim in shared(kills)]
    done += [Disruption(due(), victim, pause=random_source.randint(4, 40)) for victim in shared(pauses)]
    return sorted(done, key=lambda disruption: disruption.due)


@dataclass
class FaultInjector:
    """Does it, and counts. `up` are the words that start the mesh again."""

    mesh: RunningMesh
    up: Sequence[str]
    kills: Counter[str] = field(default_factory=Counter)
    pauses: Counter[str] = field(default_factory=Counter)

    def victims(self) -> list[str]:
        """Every program that runs, and the supervisor."""
        return [*self._pids(), SUPERVISOR]

    async def kill(self, victim: str) -> None:
        """End a program as if the power went out, once it runs; the supervisor is started again as people would."""
        pid = await self._pid(victim)
        os.kill(pid, signal.SIGKILL)
        self.kills[victim] += 1
        await eventually(lambda: not _is_alive(pid))
        if victim == SUPERVISOR:
            started = await asyncio.to_thread(self.mesh.soma, "up", *self.up)
            assert started.returncode == 0, f"{started.stdout}\n{started.stderr}"

    async def pause(self, victim: str, until: Callable[[], bool]) -> None:
        """Stop a program, and all it has started but for the supervisor's, until the condition holds."""
        process = psutil.Process(await self._pid(victim))
        stopped = [process] if victim == SUPERVISOR else [process, *process.children(recursive=True)]
        try:
            for each in stopped:
                _signal(each, signal.SIGSTOP)
            self.pauses[victim] += 1
            with contextlib.suppress(AssertionError):  # the pause is bounded
                await eventually(until, within_s=_PAUSED_AT_MOST_S)
        finally:
            for each in reversed(stopped):
                _signal(each, signal.SIGCONT)

    async def over(self) -> None:
        """Wait until everything runs again."""
        await eventually(self._all_run, within_s=_BACK_WITHIN_S)

    async def _pid(self, victim: str) -> int:
        """Process id of a program, once it runs."""
        await eventually(partial(self._runs, victim), within_s=_BACK_WITHIN_S)
        return self._pids()[victim] if victim != SUPERVISOR else self._supervisor()

    def _supervisor(self) -> int:
        state = StateFile(self.mesh.home).running()
        assert state is not None, "no supervisor runs"
        return state.supervisor.pid

    def _runs(self, victim: str) -> bool:
        return victim == SUPERVISOR or victim in self._pids()

    def _pids(self) -> dict[str, int]:
        state = StateFile(self.mesh.home).running()
        programs = state.programs if state is not None else ()
        return {
            each.name: each.pid for each in programs if each.state is ProgramState.RUNNING and each.pid is not None
            and _is_alive(each.pid)
        }  # fmt: skip

    def _all_run(self) -> bool:
        state = StateFile(self.mesh.home).running()
        return state is not None and state.phase is Phase.READY and len(self._pids()) == len(state.programs)


def _is_alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)
