"""Circuits: what opens one tenant's, and what opens the one of all."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from mesh.errors import SomaError
from mesh.resilience import CircuitState
from mesh.testing.clock import FakeClock
from soma_providers.port import CapabilityKey, Failure, FailureOrigin, ProviderError
from soma_providers.runtime.circuits import Circuits

MODEL = CapabilityKey("gpt@openai")
SLOW_SOURCE = ProviderError(Failure.TIMEOUT, "the source took too long", origin=FailureOrigin.CALLER)
DOWN = ProviderError(Failure.UNAVAILABLE, "down")


def _raise(error: Exception | None) -> None:
    if error is not None:
        raise error


class Breakers:
    """Circuits of five failures within ten seconds, and what they told."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.moves: list[str] = []
        self.circuits = Circuits(
            self.clock, lambda _name, _before, after: self.moves.append(after.value),
            failures=5, window_s=10, recovery_s=60,
        )  # fmt: skip

    async def call(
        self, tenant: str, error: Exception | None = None, capability: CapabilityKey = MODEL, took_s: float = 0
    ) -> bool:
        """Whether a call that ends so is let through."""
        let_through = False
        try:
            async with self.circuits.guard(capability, tenant):
                let_through = True
                await self.clock.advance(took_s)
                _raise(error)
        except (SomaError, ProviderError, KeyError):
            return let_through
        return let_through

    async def fails(self, tenant: str, error: Exception, times: int = 5) -> None:
        """Let calls of a tenant fail."""
        for _ in range(times):
            await self.call(tenant, error)


@pytest.mark.parametrize(
    "error", [SLOW_SOURCE, KeyError("an adapter met what it does not know")], ids=["slow source", "defect"]
)
async def test_what_a_tenant_sends_opens_only_its_own_circuit(error: Exception) -> None:
    stand = Breakers()
    await stand.fails("a", error)
    assert not await stand.call("a")
    assert await stand.call("b")
    assert (stand.moves, stand.circuits.state(MODEL)) == ([], CircuitState.CLOSED)


@pytest.mark.parametrize("reason", [Failure.INVALID_INPUT, Failure.AUTH_FAILED, Failure.CONTENT_REJECTED])
async def test_refused_requests_open_no_circuit(reason: Failure) -> None:
    stand = Breakers()
    await stand.fails("a", ProviderError(reason, "no"), times=20)
    assert await stand.call("a")


async def test_a_provider_that_is_down_is_left_alone_by_all() -> None:
    stand = Breakers()
    await stand.fails("a", DOWN)
    assert not await stand.call("b")
    assert stand.moves == ["open"]


async def test_a_provider_that_serves_others_is_left_alone_only_by_whom_it_fails() -> None:
    stand = Breakers()
    assert await stand.call("b")
    await stand.fails("a", DOWN)
    assert not await stand.call("a")
    assert await stand.call("b")
    assert stand.moves == []


async def test_failures_further_apart_than_the_window_open_nothing() -> None:
    stand = Breakers()
    for _ in range(10):
        assert await stand.call("a", DOWN)
        await stand.clock.advance(2.6)
    assert stand.moves == []


async def test_calls_that_hang_open_the_circuit_though_they_end_far_apart() -> None:
    stand = Breakers()
    for _ in range(5):
        await stand.call("a", ProviderError(Failure.TIMEOUT, "silence"), took_s=2.5)
    assert stand.moves == ["open"]


@pytest.mark.parametrize(("served_after_s", "moves"), [(-11, ["open"]), (0, []), (100, [])])
async def test_hanging_calls_say_nothing_of_a_provider_that_served_another_tenant_meanwhile(
    served_after_s: int, moves: list[str]
) -> None:
    stand = Breakers()

    async def hangs() -> None:
        with suppress(ProviderError):
            async with stand.circuits.guard(MODEL, "a"):
                await stand.clock.sleep(120)
                raise ProviderError(Failure.TIMEOUT, "silence")

    if served_after_s < 0:
        assert await stand.call("b")
        await stand.clock.advance(-served_after_s)
    async with asyncio.TaskGroup() as calls:
        for _ in range(5):
            calls.create_task(hangs())
        await stand.clock.sleeper()
        if served_after_s >= 0:
            await stand.clock.advance(served_after_s)
            assert await stand.call("b")
        await stand.clock.advance(120 - max(served_after_s, 0))
    assert stand.moves == moves
    assert not await stand.call("a")


async def test_a_half_open_circuit_learns_nothing_from_a_callers_fault() -> None:
    stand = Breakers()
    await stand.fails("a", DOWN)
    await stand.clock.advance(60)
    await stand.call("b", ProviderError(Failure.INVALID_INPUT, "no"))
    assert stand.circuits.state(MODEL) is CircuitState.HALF_OPEN
    assert await stand.call("b")
    assert stand.moves == ["open", "half_open", "closed"]


async def test_tenants_whose_own_circuit_is_open_are_counted_while_it_is() -> None:
    stand = Breakers()
    other = CapabilityKey("gpt@openai", "a")
    assert stand.circuits.open_tenants() == {}
    for tenant in ("a", "b"):
        await stand.fails(tenant, SLOW_SOURCE)
    assert stand.circuits.open_tenants() == {MODEL: 2}
    await stand.clock.advance(30)
    for _ in range(5):
        await stand.call("a", SLOW_SOURCE, other)
    assert stand.circuits.open_tenants() == {MODEL: 2, other: 1}
    await stand.clock.advance(30)
    assert stand.circuits.open_tenants() == {other: 1}, "a circuit that nobody calls again is not open for ever"
    await stand.call("a", SLOW_SOURCE)
    assert stand.circuits.open_tenants() == {MODEL: 1, other: 1}, "the one call that was let through failed"
    await stand.clock.advance(60)
    assert await stand.call("a")
    assert stand.circuits.open_tenants() == {}


async def test_circuits_of_names_that_tenants_choose_are_bounded() -> None:
    stand = Breakers()
    for number in range(20_000):
        await stand.call("a", DOWN, CapabilityKey(f"model-{number}@a"))
    assert len(stand.circuits) <= 4_096 + 16_384


async def test_a_circuit_of_a_private_capability_leaves_the_platforms_of_the_same_id_closed() -> None:
    stand = Breakers()
    private = CapabilityKey(MODEL.capability_id, "a")
    for _ in range(5):
        await stand.call("a", DOWN, private)
    assert stand.circuits.state(private) is CircuitState.OPEN
    assert stand.circuits.state(MODEL) is CircuitState.CLOSED
    assert await stand.call("a")
