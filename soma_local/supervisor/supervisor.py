"""Starts programs in groups, restarts those that end, stops all in reverse order."""

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
_ROTATION_INTERVAL_S = 60.0


@dataclass
class _Supervised:
    """A program and its state."""

    program: Program
    task: asyncio.Task[None] | None = None
    state: ProgramState = ProgramState.STARTING
    restarts: int = 0
    last_exit: int | None = None


class Supervisor:
    """Supervises programs. `on_change` is called after every change of a program's state; its errors are logged."""

    def __init__(
        self, clock: Clock, backoff: Backoff | None = None, on_change: Callable[[], None] = lambda: None
    ) -> None:
        self._clock = clock
        self._backoff = backoff or Backoff()
        self._on_change = on_change
        self._groups: list[list[_Supervised]] = []
        self._log_rotation: asyncio.Task[None] | None = None

    async def start(self, programs: Sequence[Program]) -> None:
        """Starts a group of programs concurrently and supervises them; raises ProgramFailedError if one fails."""
        group = [_Supervised(program) for program in programs]
        self._groups.append(group)
        self._log_rotation = self._log_rotation or asyncio.create_task(self._rotate_logs(), name="rotate logs")
        try:
            async with asyncio.TaskGroup() as starting:
                for supervised in group:
                    starting.create_task(self._start(supervised))
        except* ProgramFailedError as failures:
            raise failures.exceptions[0] from None
        for supervised in group:
            supervised.task = asyncio.create_task(self._watch(supervised), name=f"supervise {supervised.program.name}")

    async def stop(self) -> None:
        """Stops all programs, the last group first; the programs of a group stop concurrently.

        Raises ProgramFailedError at the end, which names the programs that could not be stopped.
        """
        await _cancel_and_wait(self._log_rotation)
        self._log_rotation = None
        failures: list[str] = []
        while self._groups:
            group = self._groups[-1]
            results = await asyncio.gather(*(self._stop(supervised) for supervised in group), return_exceptions=True)
            for supervised, result in zip(group, results, strict=True):
                if result is not None:
                    failures.append(f"{supervised.program.name} could not be stopped: {result}")
            self._groups.pop()
        if failures:
            raise ProgramFailedError("; ".join(failures))

    def statuses(self) -> tuple[ProgramStatus, ...]:
        """Returns the status of each program, in the order of their starts."""
        return tuple(_status(supervised) for group in self._groups for supervised in group)

    async def _start(self, supervised: _Supervised) -> None:
        self._set_state(supervised, ProgramState.STARTING)
        await supervised.program.start()
        self._set_state(supervised, ProgramState.RUNNING)

    async def _stop(self, supervised: _Supervised) -> None:
        await _cancel_and_wait(supervised.task)
        await supervised.program.stop()
        self._set_state(supervised, ProgramState.STOPPED)

    async def _watch(self, supervised: _Supervised) -> None:
        """Restarts the program each time it ends, waiting longer while it keeps failing."""
        failures, is_running = 0, True
        while True:
            started_at = self._clock.monotonic()
            if is_running:
                supervised.last_exit = await supervised.program.wait()
                if self._clock.monotonic() - started_at >= self._backoff.reset_after_s:
                    failures = 0
            failures += 1
            self._set_state(supervised, ProgramState.WAITING)
            await self._clock.sleep(self._backoff.delay_s(failures))
            supervised.restarts += 1
            is_running = await self._restart(supervised)

    async def _restart(self, supervised: _Supervised) -> bool:
        try:
            await self._start(supervised)
        except Exception as failure:  # noqa: BLE001 - after any error the program must be restarted again
            supervised.program.log(f"restart failed: {failure}")
            return False
        return True

    def _set_state(self, supervised: _Supervised, state: ProgramState) -> None:
        supervised.state = state
        try:
            self._on_change()
        except Exception:  # noqa: BLE001 - an error of the callback must not end the supervision
            _log.exception("the change of %s to %s could not be published", supervised.program.name, state)

    async def _rotate_logs(self) -> None:
        """Rotates the logs of the programs while they run."""
        while True:
            await self._clock.sleep(_ROTATION_INTERVAL_S)
            for supervised in [supervised for group in self._groups for supervised in group]:
                try:
                    supervised.program.rotate_log()
                except OSError as failure:
                    _log.warning("the log of %s could not be rotated: %s", supervised.program.name, failure)


async def _cancel_and_wait(task: asyncio.Task[None] | None) -> None:
    """Cancels a task and waits until it has ended."""
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
