"""Keeps programs running: starts them in groups, restarts what crashes, stops all in reverse order."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from soma_local.program import ProgramFailedError
from soma_local.supervisor.backoff import Backoff
from soma_local.supervisor.state import ProgramState, ProgramStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mesh.clock import Clock
    from soma_local.program import Program

_log = logging.getLogger(__name__)
_ROTATE_S = 60.0


@dataclass
class _Supervised:
    """A program and what became of it so far."""

    program: Program
    task: asyncio.Task[None] | None = None
    state: ProgramState = ProgramState.STARTING
    restarts: int = 0
    last_exit: int | None = None


class Supervisor:
    """Owns running programs. `changed` is called after every change of a program's state; its errors are logged."""

    def __init__(
        self, clock: Clock, backoff: Backoff | None = None, changed: Callable[[], None] = lambda: None
    ) -> None:
        self._clock = clock
        self._backoff = backoff or Backoff()
        self._changed = changed
        self._groups: list[list[_Supervised]] = []
        self._rotating: asyncio.Task[None] | None = None

    async def start(self, programs: Sequence[Program]) -> None:
        """Start a group of programs together and keep them running; raise ProgramFailedError if one cannot start."""
        group = [_Supervised(program) for program in programs]
        self._groups.append(group)
        self._rotating = self._rotating or asyncio.create_task(self._rotate(), name="rotate logs")
        try:
            async with asyncio.TaskGroup() as starting:
                for supervised in group:
                    starting.create_task(self._start(supervised))
        except* ProgramFailedError as failures:
            raise failures.exceptions[0] from None
        for supervised in group:
            supervised.task = asyncio.create_task(self._watch(supervised), name=f"keep {supervised.program.name}")

    async def stop(self) -> None:
        """Stop all programs, the last group first; programs of a group stop together.

        One that cannot be stopped keeps no other from it; ProgramFailedError names it when all were asked.
        """
        await _cancelled(self._rotating)
        self._rotating = None
        failures: list[str] = []
        while self._groups:
            group = self._groups[-1]
            results = await asyncio.gather(*(self._end(supervised) for supervised in group), return_exceptions=True)
            for supervised, result in zip(group, results, strict=True):
                if result is not None:
                    failures.append(f"{supervised.program.name} could not be stopped: {result}")
            self._groups.pop()
        if failures:
            raise ProgramFailedError("; ".join(failures))

    def statuses(self) -> tuple[ProgramStatus, ...]:
        """Give every program's status, in order of start."""
        return tuple(_status(supervised) for group in self._groups for supervised in group)

    async def _start(self, supervised: _Supervised) -> None:
        self._set(supervised, ProgramState.STARTING)
        await supervised.program.start()
        self._set(supervised, ProgramState.RUNNING)

    async def _end(self, supervised: _Supervised) -> None:
        await _cancelled(supervised.task)
        await supervised.program.stop()
        self._set(supervised, ProgramState.STOPPED)

    async def _watch(self, supervised: _Supervised) -> None:
        """Restart the program each time it ends, waiting longer while it keeps failing."""
        failures, running = 0, True
        while True:
            began = self._clock.monotonic()
            if running:
                supervised.last_exit = await supervised.program.wait()
                if self._clock.monotonic() - began >= self._backoff.healthy_after_s:
                    failures = 0
            failures += 1
            self._set(supervised, ProgramState.WAITING)
            await self._clock.sleep(self._backoff.delay_s(failures))
            supervised.restarts += 1
            running = await self._restarted(supervised)

    async def _restarted(self, supervised: _Supervised) -> bool:
        try:
            await self._start(supervised)
        except Exception as failure:  # noqa: BLE001 - whatever it was, the program must be tried again
            supervised.program.log(f"restart failed: {failure}")
            return False
        return True

    def _set(self, supervised: _Supervised, state: ProgramState) -> None:
        supervised.state = state
        try:
            self._changed()
        except Exception:  # noqa: BLE001 - who is told must not end the supervision
            _log.exception("the change of %s to %s could not be told", supervised.program.name, state)

    async def _rotate(self) -> None:
        """Keep the logs short while their programs run."""
        while True:
            await self._clock.sleep(_ROTATE_S)
            for supervised in [supervised for group in self._groups for supervised in group]:
                try:
                    supervised.program.rotate_log()
                except OSError as failure:
                    _log.warning("the log of %s could not be rotated: %s", supervised.program.name, failure)


async def _cancelled(task: asyncio.Task[None] | None) -> None:
    """Cancel a task and wait for its end, whatever that is."""
    if task is not None:
        task.cancel()
        await asyncio.wait({task})


def _status(supervised: _Supervised) -> ProgramStatus:
    return ProgramStatus(
        name=supervised.program.name,
        state=supervised.state,
        pid=supervised.program.pid,
        address=supervised.program.address,
        restarts=supervised.restarts,
        last_exit=supervised.last_exit,
        log_file=str(supervised.program.log_file),
    )
