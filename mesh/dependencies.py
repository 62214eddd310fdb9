"""What a context tells of the things that it depends on, beside what it can do itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from mesh.errors import SomaError
from mesh.health import Readiness

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mesh.clock import Clock
    from mesh.health import Health

_DOUBT_S = 1.0
"""Pause between two questions while the answers speak against what is told."""
Ask: TypeAlias = Callable[[], Awaitable[str | None]]
"""Says why something is not well, nothing ("") when it is, None where that cannot be told yet; may also raise SomaError
or OSError."""


@dataclass(frozen=True)
class Dependency:
    """Something that a context judges by itself, every so many seconds and within a deadline."""

    name: str
    ask: Ask
    every_s: float = 5.0
    deadline_s: float = 3.0


def health_name(dependency: str) -> str:
    """The name under which `grpc.health.v1` tells of a dependency."""
    return f"dependency.{dependency}"


class Dependencies:
    """Judges dependencies, each on its own and without flapping, and tells of them in a server's health.

    Until one was judged its name is not known there: what was not looked at is not well.
    """

    def __init__(self, health: Health, dependencies: Sequence[Dependency], clock: Clock) -> None:
        self._health = health
        self._dependencies = tuple(dependencies)
        self._clock = clock

    async def run(self) -> None:
        """Judge for ever."""
        async with asyncio.TaskGroup() as group:
            for dependency in self._dependencies:
                group.create_task(self._follow(dependency))

    async def _follow(self, dependency: Dependency) -> None:
        readiness = Readiness(self._clock)
        told = False
        while True:
            reason = await self._ask(dependency)
            doubtful = False
            if reason is not None:
                ready = readiness.observe(not reason)
                doubtful = ready is bool(reason)
                told = told or not doubtful
                if told:
                    why = "" if ready else reason or "is recovering"
                    await self._health.set(health_name(dependency.name), ready, why)
            await self._clock.sleep(min(_DOUBT_S, dependency.every_s) if doubtful else dependency.every_s)

    @staticmethod
    async def _ask(dependency: Dependency) -> str | None:
        try:
            async with asyncio.timeout(dependency.deadline_s):
                return await dependency.ask()
        except TimeoutError:
            return f"does not answer within {dependency.deadline_s:g} s"
        except SomaError as error:
            return error.message
        except OSError:
            return "cannot be reached"
