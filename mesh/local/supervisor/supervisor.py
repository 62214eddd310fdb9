"""Keeps programs running: starts them in groups, restarts what crashes, stops all in reverse order."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mesh.local.program import ProgramFailedError
from mesh.local.supervisor.backoff import Backoff
from mesh.local.supervisor.state import ProgramState, ProgramStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mesh.clock import Clock
    from mesh.local.program import Program

_log = logging.getLogger(__name__)
_ROTATE_S = 60.0


@dataclass
class _Kept:
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
        self._groups: list[list[_Kept]] = []
        self._rotating: asyncio.Task[None] | None = None

    async def keep(self, programs: Sequence[Program]) -> None:
        """Start a group of programs together and keep them running; raise ProgramFailedError if one cannot start."""
        group = [_Kept(program) for program in programs]
        self._groups.append(group)
        self._rotating = self._rotating or asyncio.create_task(self._rotate(), name="rotate logs")
        try:
            async with asyncio.TaskGroup() as starting:
                for kept in group:
                    starting.create_task(self._start(kept))
        except* ProgramFailedError as failures:
            raise failures.exceptions[0] from None
        for kept in group:
            kept.task = asyncio.create_task(self._watch(kept), name=f"keep {kept.program.name}")

    async def stop(self) -> None:
        """Stop all programs, the last group first; programs of a group stop together.

        One that cannot be stopped keeps no other from it; ProgramFailedError names it when all were asked.
        """
        await _cancelled(self._rotating)
        self._rotating = None
        failures: list[str] = []
        while self._groups:
            group = self._groups[-1]
            results = await asyncio.gather(*(self._end(kept) for kept in group), return_exceptions=True)
            for kept, result in zip(group, results, strict=True):
                if result is not None:
                    failures.append(f"{kept.program.name} could not be stopped: {result}")
            self._groups.pop()
        if failures:
            raise ProgramFailedError("; ".join(failures))

    def statuses(self) -> tuple[ProgramStatus, ...]:
        """Give every program's status, in order of start."""
        return tuple(_status(kept) for group in self._groups for kept in group)

    async def _start(self, kept: _Kept) -> None:
        self._set(kept, ProgramState.STARTING)
        await kept.program.start()
        self._set(kept, ProgramState.RUNNING)

    async def _end(self, kept: _Kept) -> None:
        await _cancelled(kept.task)
        await kept.program.stop()
        self._set(kept, ProgramState.STOPPED)

    async def _watch(self, kept: _Kept) -> None:
        """Restart the program each time it ends, waiting longer while it keeps failing."""
        failures, running = 0, True
        while True:
            began = self._clock.monotonic()
            if running:
                kept.last_exit = await kept.program.wait()
                if self._clock.monotonic() - began >= self._backoff.healthy_after_s:
                    failures = 0
            failures += 1
            self._set(kept, ProgramState.WAITING)
            await self._clock.sleep(self._backoff.delay_s(failures))
            kept.restarts += 1
            running = await self._restarted(kept)

    async def _restarted(self, kept: _Kept) -> bool:
        try:
            await self._start(kept)
        except Exception as failure:  # noqa: BLE001 - whatever it was, the program must be tried again
            kept.program.log(f"restart failed: {failure}")
            return False
        return True

    def _set(self, kept: _Kept, state: ProgramState) -> None:
        kept.state = state
        try:
            self._changed()
        except Exception:  # noqa: BLE001 - who is told must not end the supervision
            _log.exception("the change of %s to %s could not be told", kept.program.name, state)

    async def _rotate(self) -> None:
        """Keep the logs short while their programs run."""
        while True:
            await self._clock.sleep(_ROTATE_S)
            for kept in [kept for group in self._groups for kept in group]:
                try:
                    kept.program.rotate_log()
                except OSError as failure:
                    _log.warning("the log of %s could not be rotated: %s", kept.program.name, failure)


async def _cancelled(task: asyncio.Task[None] | None) -> None:
    """Cancel a task and wait for its end, whatever that is."""
    if task is not None:
        task.cancel()
        await asyncio.wait({task})


def _status(kept: _Kept) -> ProgramStatus:
    return ProgramStatus(
        name=kept.program.name,
        state=kept.state,
        pid=kept.program.pid,
        address=kept.program.address,
        restarts=kept.restarts,
        last_exit=kept.last_exit,
        log_file=str(kept.program.log_file),
    )
