"""What a scenario is, and what came of one."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.scenarios.world import World

    Run = Callable[[World], Awaitable[str]]

BOUND_S = 240.0


class WrongError(Exception):
    """What happened is not what was expected; text for people."""


class Verdict(StrEnum):
    """What came of a scenario."""

    OK = "ok"
    WRONG = "WRONG"
    COVERED = "covered"


@dataclass(frozen=True)
class Scenario:
    """A scenario by the number of its defect.

    `run` gives what happened, or raises. Where there is none, or where it needs a process for each context and all
    share one, the test `covered` stands for it. `why` says why it cannot be run from outside.
    """

    number: int
    title: str
    expected: str
    covered: str
    run: Run | None = None
    apart: bool = False
    why: str = ""
    bound_s: float = BOUND_S


@dataclass(frozen=True)
class Outcome:
    """What came of a scenario, with what happened in words."""

    scenario: Scenario
    verdict: Verdict
    happened: str

    def __str__(self) -> str:
        if self.verdict is Verdict.COVERED:
            return f"covered by {self.scenario.covered}"
        return self.verdict.value


async def outcome(scenario: Scenario, world: World) -> Outcome:
    """Runs a scenario within its bound; whatever it raises is wrong."""
    if scenario.run is None:
        return Outcome(scenario, Verdict.COVERED, f"not from outside: {scenario.why}")
    if scenario.apart and world.rig.embedded:
        return Outcome(scenario, Verdict.COVERED, "needs a process for each context: --mesh")
    try:
        async with asyncio.timeout(scenario.bound_s):
            return Outcome(scenario, Verdict.OK, await scenario.run(world))
    except TimeoutError:
        return Outcome(scenario, Verdict.WRONG, f"did not end within {scenario.bound_s:.0f} s")
    except WrongError as error:
        return Outcome(scenario, Verdict.WRONG, str(error))
    except Exception as error:  # noqa: BLE001  the others are to be run all the same
        return Outcome(scenario, Verdict.WRONG, f"{type(error).__name__}: {str(error)[:300]}")


def expect(condition: object, text: str) -> None:
    """Raises WrongError unless the condition holds."""
    if not condition:
        raise WrongError(text)
