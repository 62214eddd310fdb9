"""A provider that fails repeatedly is left alone, everywhere: its circuit opens, the registry and the selector hear of
it over the wire, later selections leave it out and say so, and it comes back when it has recovered.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from svc_executor.domain.provider import Failure, Fault, ProviderError
from svc_registry.domain import HealthState
from svc_selector.domain.model import Judgement
from tests.chaos.multimodal.circuit import (
    FAILURES,
    FIRST,
    OPERATOR,
    RECOVERY_S,
    SECOND,
    SLOTS,
    NeverOpens,
    TellsNobody,
    standing,
)

if TYPE_CHECKING:
    from svc_executor.adapters.guarded import Guards
    from svc_selector.domain.decision import Rejection
    from tests.chaos.multimodal.circuit import Stand

STEPS = 20


def against(rejected: tuple[Rejection, ...]) -> dict[str, tuple[Judgement, str]]:
    return {item.capability_id: (item.judgement, item.code) for item in rejected}


async def outage(stand: Stand) -> list[str]:
    """Lets the first choice fail until its circuit must be open, goes on, and tells what should not have been."""
    stand.failing.down = True
    wrong: list[str] = []
    for number in range(FAILURES):
        tried = await stand.step()
        if tried != [FIRST, SECOND]:
            wrong.append(f"failure {number} went {tried}")
    decision = await stand.choose()
    if against(decision.rejected).get(FIRST) != (Judgement.HEALTH, "CIRCUIT_OPEN"):
        wrong.append(f"the next selection says {decision.rejected}")
    for number in range(STEPS):
        tried = await stand.step()
        if tried != [SECOND]:
            wrong.append(f"step {number} went {tried}")
    if stand.failing.injected != FAILURES:
        wrong.append(f"{stand.failing.injected} calls reached what is down")
    return wrong


async def recovered(stand: Stand) -> None:
    """The time of an open circuit has passed, and the probes were asked again."""
    await stand.clock.advance(RECOVERY_S)
    await stand.probed()


@pytest.mark.parametrize("why", [Failure.UNAVAILABLE, Failure.TIMEOUT])
async def test_an_open_circuit_takes_a_capability_out_of_every_later_selection(why: Failure) -> None:
    async with standing() as stand:
        stand.failing.why = why
        assert await outage(stand) == []
        known = stand.registry.get(OPERATOR, FIRST).health
        assert (known.state, known.circuit_open) == (HealthState.UNHEALTHY, True)
        [rejection] = (await stand.choose()).rejected
        assert "failed repeatedly" in rejection.reason


async def test_probes_that_succeed_do_not_bring_it_back_before_its_time() -> None:
    async with standing() as stand:
        await outage(stand)
        stand.failing.down = False
        await stand.clock.advance(RECOVERY_S - 1)
        await stand.probed()
        assert await stand.step() == [SECOND]
        assert against((await stand.choose()).rejected) == {FIRST: (Judgement.HEALTH, "CIRCUIT_OPEN")}


async def test_it_comes_back_when_it_has_recovered() -> None:
    async with standing() as stand:
        await outage(stand)
        stand.failing.down = False
        await recovered(stand)
        decision = await stand.choose()
        assert [item.offer.capability_id for item in decision.ranked] == [FIRST, SECOND]
        assert decision.rejected == ()
        assert await stand.step() == [FIRST]
        assert [entry.rpartition(" ")[2] for entry in stand.meter.entries] == ["open", "half_open", "closed"]
        assert stand.registry.get(OPERATOR, FIRST).health.state is HealthState.HEALTHY


async def test_one_call_finds_out_that_it_has_not_recovered() -> None:
    async with standing() as stand:
        await outage(stand)
        for round_ in range(1, 4):
            await recovered(stand)
            assert await stand.step() == [FIRST, SECOND]
            assert against((await stand.choose()).rejected) == {FIRST: (Judgement.HEALTH, "CIRCUIT_OPEN")}
            assert await stand.step() == [SECOND]
            assert stand.failing.injected == FAILURES + round_


async def test_a_storm_of_calls_is_held_back_too() -> None:
    """Calls that were under way when the circuit opened are all that may come on top."""
    async with standing() as stand:
        stand.failing.down = True
        ended = await asyncio.gather(*(stand.invoke(FIRST) for _ in range(64)), return_exceptions=True)
        assert all(isinstance(error, ProviderError) for error in ended)
        assert FAILURES <= stand.failing.injected < FAILURES + SLOTS
        await stand.told()
        assert await stand.step() == [SECOND]


@pytest.mark.parametrize("why", [Failure.UNAVAILABLE, Failure.TIMEOUT])
async def test_what_a_tenant_sends_takes_nothing_out_of_any_selection(why: Failure) -> None:
    async with standing() as stand:
        stand.failing.down, stand.failing.why, stand.failing.fault = True, why, Fault.CALLER
        for _ in range(STEPS):
            assert await stand.step() == [FIRST, SECOND]
            assert (await stand.choose()).rejected == ()
        known = stand.registry.get(OPERATOR, FIRST).health
        assert (known.state, known.circuit_open, stand.meter.entries) == (HealthState.HEALTHY, False, [])


@pytest.mark.parametrize("bug", [NeverOpens, TellsNobody])
async def test_a_planted_bug_is_caught(bug: type[Guards]) -> None:
    async with standing(bug) as stand:
        wrong = await outage(stand)
        assert any("the next selection" in each for each in wrong)
        assert any("went" in each for each in wrong)
