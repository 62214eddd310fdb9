"""What a context tells of the things that it depends on, beside what it can do itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from mesh.errors import SomaError
from mesh.health import Readiness

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mesh.background import BackgroundTasks
    from mesh.clock import Clock
    from mesh.health import Health

_RECHECK_S = 1.0
"""Pause between two questions while the answers speak against what is told."""
_DISCOVERY_S = 5.0
"""Pause between two looks for dependencies that came later."""
Probe: TypeAlias = Callable[[], Awaitable[str | None]]
"""Says why something is not well, nothing ("") when it is, None where that cannot be told yet; may also raise SomaError
or OSError."""


@dataclass(frozen=True)
class Dependency:
    """Something that a context judges by itself, every so many seconds and within a deadline."""

    name: str
    probe: Probe
    every_s: float = 5.0
    deadline_s: float = 3.0


def health_name(dependency: str) -> str:
    """The name under which `grpc.health.v1` tells of a dependency."""
    return f"dependency.{dependency}"


def of_background(tasks: BackgroundTasks) -> Sequence[Dependency]:
    """One dependency for each name of a background task: `background.<name>`."""

    async def probe(name: str) -> str:
        return tasks.failure(name)

    return [Dependency(f"background.{name}", partial(probe, name)) for name in tasks.names()]


class Dependencies:
    """Probes each dependency in a task of its own and reports it in a server's health, without flapping.

    Before its first report the name of a dependency is unknown to the health, which counts as not healthy.
    `discover` gives dependencies that are found later, such as new background tasks; it is called again and again.
    """

    def __init__(
        self,
        health: Health,
        dependencies: Sequence[Dependency],
        clock: Clock,
        *,
        discover: Callable[[], Sequence[Dependency]] = tuple,
    ) -> None:
        self._health = health
        self._dependencies = tuple(dependencies)
        self._clock = clock
        self._discover = discover

    async def run(self) -> None:
        """Probe until cancelled, including what `discover` gives later."""
        known: set[str] = set()
        async with asyncio.TaskGroup() as group:
            while True:
                for dependency in (*self._dependencies, *self._discover()):
                    if dependency.name not in known:
                        known.add(dependency.name)
                        group.create_task(self._follow(dependency))
                await self._clock.sleep(_DISCOVERY_S)

    async def _follow(self, dependency: Dependency) -> None:
        readiness = Readiness(self._clock)
        reported = False
        while True:
            reason = await self._probe(dependency)
            doubtful = False
            if reason is not None:
                ready = readiness.observe(not reason)
                doubtful = ready is bool(reason)
                reported = reported or not doubtful
                if reported:
                    why = "" if ready else reason or "is recovering"
                    await self._health.set(health_name(dependency.name), ready, why)
            await self._clock.sleep(min(_RECHECK_S, dependency.every_s) if doubtful else dependency.every_s)

    @staticmethod
    async def _probe(dependency: Dependency) -> str | None:
        try:
            async with asyncio.timeout(dependency.deadline_s):
                return await dependency.probe()
        except TimeoutError:
            return f"does not answer within {dependency.deadline_s:g} s"
        except SomaError as error:
            return error.message
        except OSError:
            return "cannot be reached"
