"""A provider that fails repeatedly is left alone, everywhere: its circuit opens, the registry and the selector hear of
it over the wire, later selections leave it out and say so, and it comes back when it has recovered.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from soma_providers.port import Failure, FailureOrigin, ProviderError
from svc_registry.domain import HealthState
from svc_selector.domain.model import FilterStage
from tests.chaos.executor.circuit import (
    FAILURES,
    FIRST,
    OPERATOR,
    RECOVERY_S,
    SECOND,
    SLOTS,
    NeverOpens,
    NeverReports,
    running_simulation,
)

if TYPE_CHECKING:
    from soma_providers.runtime.guarded import Guards
    from svc_selector.domain.decision import Rejection
    from tests.chaos.executor.circuit import Simulation

STEPS = 20


def against(rejected: tuple[Rejection, ...]) -> dict[str, tuple[FilterStage, str]]:
    return {item.capability_id: (item.stage, item.code) for item in rejected}


async def outage(simulation: Simulation) -> list[str]:
    """Lets the first choice fail until its circuit must be open, goes on, and tells what should not have been."""
    simulation.failing.down = True
    wrong: list[str] = []
    for number in range(FAILURES):
        tried = await simulation.step()
        if tried != [FIRST, SECOND]:
            wrong.append(f"failure {number} went {tried}")
    decision = await simulation.choose()
    if against(decision.rejected).get(FIRST) != (FilterStage.HEALTH, "CIRCUIT_OPEN"):
        wrong.append(f"the next selection says {decision.rejected}")
    for number in range(STEPS):
        tried = await simulation.step()
        if tried != [SECOND]:
            wrong.append(f"step {number} went {tried}")
    if simulation.failing.injected != FAILURES:
        wrong.append(f"{simulation.failing.injected} calls reached what is down")
    return wrong


async def recovered(simulation: Simulation) -> None:
    """The time of an open circuit has passed, and the probes were asked again."""
    await simulation.clock.advance(RECOVERY_S)
    await simulation.probed()


@pytest.mark.parametrize("why", [Failure.UNAVAILABLE, Failure.TIMEOUT])
async def test_an_open_circuit_takes_a_capability_out_of_every_later_selection(why: Failure) -> None:
    async with running_simulation() as simulation:
        simulation.failing.why = why
        assert await outage(simulation) == []
        known = simulation.registry.get(OPERATOR, FIRST).health
        assert (known.state, known.circuit_open) == (HealthState.UNHEALTHY, True)
        [rejection] = (await simulation.choose()).rejected
        assert "failed repeatedly" in rejection.reason


async def test_probes_that_succeed_do_not_bring_it_back_before_its_time() -> None:
    async with running_simulation() as simulation:
        await outage(simulation)
        simulation.failing.down = False
        await simulation.clock.advance(RECOVERY_S - 1)
        await simulation.probed()
        assert await simulation.step() == [SECOND]
        assert against((await simulation.choose()).rejected) == {FIRST: (FilterStage.HEALTH, "CIRCUIT_OPEN")}


async def test_it_comes_back_when_it_has_recovered() -> None:
    async with running_simulation() as simulation:
        await outage(simulation)
        simulation.failing.down = False
        await recovered(simulation)
        decision = await simulation.choose()
        assert [item.candidate.capability_id for item in decision.ranked] == [FIRST, SECOND]
        assert decision.rejected == ()
        assert await simulation.step() == [FIRST]
        assert [entry.rpartition(" ")[2] for entry in simulation.meter.entries] == ["open", "half_open", "closed"]
        assert simulation.registry.get(OPERATOR, FIRST).health.state is HealthState.HEALTHY


async def test_one_call_finds_out_that_it_has_not_recovered() -> None:
    async with running_simulation() as simulation:
        await outage(simulation)
        for round_ in range(1, 4):
            await recovered(simulation)
            assert await simulation.step() == [FIRST, SECOND]
            assert against((await simulation.choose()).rejected) == {FIRST: (FilterStage.HEALTH, "CIRCUIT_OPEN")}
            assert await simulation.step() == [SECOND]
            assert simulation.failing.injected == FAILURES + round_


async def test_a_storm_of_calls_is_held_back_too() -> None:
    """Calls that were under way when the circuit opened are all that may come on top."""
    async with running_simulation() as simulation:
        simulation.failing.down = True
        ended = await asyncio.gather(*(simulation.invoke(FIRST) for _ in range(64)), return_exceptions=True)
        assert all(isinstance(error, ProviderError) for error in ended)
        assert FAILURES <= simulation.failing.injected < FAILURES + SLOTS
        await simulation.reports_arrived()
        assert await simulation.step() == [SECOND]


@pytest.mark.parametrize("why", [Failure.UNAVAILABLE, Failure.TIMEOUT])
async def test_what_a_tenant_sends_takes_nothing_out_of_any_selection(why: Failure) -> None:
    async with running_simulation() as simulation:
        simulation.failing.down, simulation.failing.why, simulation.failing.origin = True, why, FailureOrigin.CALLER
        for _ in range(STEPS):
            assert await simulation.step() == [FIRST, SECOND]
            assert (await simulation.choose()).rejected == ()
        known = simulation.registry.get(OPERATOR, FIRST).health
        assert (known.state, known.circuit_open, simulation.meter.entries) == (HealthState.HEALTHY, False, [])


@pytest.mark.parametrize("bug", [NeverOpens, NeverReports])
async def test_a_planted_bug_is_caught(bug: type[Guards]) -> None:
    async with running_simulation(bug) as simulation:
        wrong = await outage(simulation)
        assert any("the next selection" in each for each in wrong)
        assert any("went" in each for each in wrong)
