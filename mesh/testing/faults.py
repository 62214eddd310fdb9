"""Planted faults: named points where a test lets work fail, wait or die.

A point costs one look into an empty dictionary unless a test armed it, in this process with `armed`, or in a child
process of the profile `test` with the variable `SA01_FAULTS`, for example `executor.after_store=kill@3`: die at the
third pass.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

VARIABLE = "SA01_FAULTS"

Effect = Callable[[], Awaitable[None]]


class InjectedFault(Exception):  # noqa: N818 - not an error of the program
    """What a point raises that was armed with `fail`."""


@dataclass
class Fault:
    """What happens at a point: `effect` at every pass from number `first` on, `times` times at most.

    `passed` counts the passes, `injected` how often the effect took place.
    """

    effect: Effect
    first: int = 1
    times: int | None = None
    passed: int = field(default=0, init=False)
    injected: int = field(default=0, init=False)

    async def trigger(self) -> None:
        """Count a pass and take effect when it is time."""
        self.passed += 1
        if self.passed < self.first or (self.times is not None and self.injected >= self.times):
            return
        self.injected += 1
        await self.effect()


async def fail() -> None:
    """Raise InjectedFault."""
    raise InjectedFault


async def hang() -> None:
    """Wait for ever."""
    await asyncio.Event().wait()


async def kill() -> None:
    """End the process at once, as the power going out does."""
    os.kill(os.getpid(), signal.SIGKILL)


def delay(seconds: float) -> Effect:
    """Wait for some seconds."""

    async def effect() -> None:
        await asyncio.sleep(seconds)

    return effect


_EFFECTS: Mapping[str, Effect] = {"fail": fail, "hang": hang, "kill": kill}
_ARMED: dict[str, Fault] = {}


async def point(name: str) -> None:
    """A place where a fault may be planted; does nothing in a process that no test armed."""
    if _ARMED and (fault := _ARMED.get(name)) is not None:
        await fault.trigger()


@contextmanager
def armed(name: str, effect: Effect = fail, *, first: int = 1, times: int | None = None) -> Iterator[Fault]:
    """Plant a fault at a point while entered; gives it, to count what was injected."""
    fault = Fault(effect, first, times)
    before = _ARMED.get(name)
    _ARMED[name] = fault
    try:
        yield fault
    finally:
        if before is None:
            del _ARMED[name]
        else:
            _ARMED[name] = before


def arm_from(environ: Mapping[str, str]) -> None:
    """Plant what `SA01_FAULTS` asks for: `point=effect[@first]`, parted by commas.

    ValueError when it is not that, or when the profile is another than `test`.
    """
    if environ.get(VARIABLE) and environ.get("SA01_PROFILE") != "test":
        raise ValueError(f"{VARIABLE} is for SA01_PROFILE=test alone")
    for entry in filter(None, environ.get(VARIABLE, "").split(",")):
        name, _, what = entry.partition("=")
        effect, _, first = what.partition("@")
        if effect not in _EFFECTS or not (first or "1").isdigit():
            raise ValueError(f"{VARIABLE}: {entry!r} is not point=effect[@first] with an effect of {sorted(_EFFECTS)}")
        _ARMED[name] = Fault(_EFFECTS[effect], int(first or "1"))


arm_from(os.environ)
