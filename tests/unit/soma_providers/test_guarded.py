"""What stands around every provider."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from mesh.clock import SystemClock
from mesh.ids import rng
from mesh.resilience import CircuitState
from mesh.testing.clock import FakeClock
from soma_providers.port import (
    CapabilityKey,
    Capacity,
    Failure,
    FailureOrigin,
    Invocation,
    InvocationResult,
    ProviderBusyError,
    ProviderError,
    Usage,
)
from soma_providers.runtime.guarded import GuardedCatalogue, GuardedProvider, GuardLimits, Guards
from tests.unit.soma_providers.scripted import ScriptedCatalogue, ScriptedProvider, picture

if TYPE_CHECKING:
    from mesh.clock import Clock

MERMAID = CapabilityKey("mermaid@local")
Script = Callable[[Invocation], InvocationResult]


class Observer:
    """A `GuardObserver` that keeps what it hears."""

    def __init__(self) -> None:
        self.circuits: list[tuple[CapabilityKey, CircuitState]] = []
        self.successes: list[CapabilityKey] = []
        self.open_now: Callable[[], Mapping[CapabilityKey, int]] = dict

    def circuit_changed(self, capability: CapabilityKey, state: CircuitState) -> None:
        self.circuits.append((capability, state))

    def succeeded(self, capability: CapabilityKey) -> None:
        self.successes.append(capability)

    def tenant_circuits(self, open_now: Callable[[], Mapping[CapabilityKey, int]]) -> None:
        self.open_now = open_now


class GuardSetup:
    """A guarded provider, and all that its guards tell."""

    def __init__(self, script: Script, clock: Clock | None = None, provider: str = "local", **limits: float) -> None:
        self.inner = ScriptedProvider(provider, script)
        self.observer = Observer()
        self.guards = Guards(
            GuardLimits(**{"tries": 1, **limits}),  # type: ignore[arg-type]
            self.observer,
            clock or SystemClock(),
            rng=rng(1),
        )
        self.provider = GuardedProvider(self.inner, self.guards, "mermaid")

    async def failure(self, timeout_s: float = 5.0) -> ProviderError:
        """Invoke and give the failure."""
        with pytest.raises(ProviderError) as caught:
            await self.provider.invoke(invocation(timeout_s))
        return caught.value


def invocation(timeout_s: float = 5.0) -> Invocation:
    return Invocation("mermaid", "local", "m", "generate_diagram", "image_diagram", {}, "key", timeout_s, "tenant-a")


def failing(reason: Failure, times: int = 1_000, retry_after_s: float | None = None) -> Script:
    left = iter(range(times))

    def script(call: Invocation) -> InvocationResult:
        if next(left, None) is None:
            return picture(call)
        raise ProviderError(reason, "no", retry_after_s=retry_after_s)

    return script


async def test_a_result_passes() -> None:
    setup = GuardSetup(picture)
    assert (await setup.provider.invoke(invocation())).model == "m-1"


async def test_a_passing_failure_is_tried_again_under_the_same_key() -> None:
    setup = GuardSetup(failing(Failure.UNAVAILABLE, times=1), tries=2, max_retry_wait_s=0.01)
    assert (await setup.provider.invoke(invocation())).model == "m-1"
    assert [call.idempotency_key for call in setup.inner.invocations] == ["key", "key"]


@pytest.mark.parametrize("reason", [Failure.INVALID_INPUT, Failure.CONTENT_REJECTED, Failure.AUTH_FAILED])
async def test_what_waiting_would_not_mend_is_not_tried_again(reason: Failure) -> None:
    setup = GuardSetup(failing(reason), tries=3, max_retry_wait_s=0.01)
    assert (await setup.failure()).reason is reason
    assert len(setup.inner.invocations) == 1


async def test_a_provider_that_asks_for_a_long_wait_is_left() -> None:
    setup = GuardSetup(failing(Failure.RATE_LIMITED, retry_after_s=30), tries=3, max_retry_wait_s=1.0)
    assert (await setup.failure()).retry_after_s == 30
    assert len(setup.inner.invocations) == 1


async def test_a_provider_that_does_not_answer_is_cut_off() -> None:
    class Silent(ScriptedProvider):
        async def invoke(self, invocation: Invocation) -> InvocationResult:
            await asyncio.Event().wait()
            return picture(invocation)

    setup = GuardSetup(picture)
    setup.provider = GuardedProvider(Silent("local"), setup.guards, "mermaid")
    failure = await setup.failure(timeout_s=0.05)
    assert failure.reason is Failure.TIMEOUT
    assert "mermaid@local" in failure.message


async def test_five_failures_open_the_circuit_and_the_observer_hears_of_it() -> None:
    setup = GuardSetup(failing(Failure.UNAVAILABLE))
    for _ in range(5):
        await setup.failure()
    refused = await setup.failure()
    assert refused.reason is Failure.UNAVAILABLE
    assert refused.retry_after_s is not None
    assert len(setup.inner.invocations) == 5
    assert setup.guards.circuit(MERMAID) is CircuitState.OPEN
    assert setup.observer.circuits == [(MERMAID, CircuitState.OPEN)]
    assert setup.observer.open_now() == {MERMAID: 1}


async def test_a_circuit_of_a_private_capability_is_that_of_its_owner() -> None:
    setup = GuardSetup(failing(Failure.UNAVAILABLE), failures=1)
    with pytest.raises(ProviderError):
        await setup.provider.invoke(replace(invocation(), owner_tenant_id="tenant-a"))
    assert setup.observer.circuits == [(CapabilityKey("mermaid@local", "tenant-a"), CircuitState.OPEN)]
    assert setup.guards.circuit(MERMAID) is CircuitState.CLOSED


async def test_a_circuit_closes_again_when_the_provider_recovered() -> None:
    clock = FakeClock()
    setup = GuardSetup(failing(Failure.UNAVAILABLE, times=5), clock, recovery_s=60.0)
    for _ in range(5):
        await setup.failure()
    await clock.advance(60.0)
    assert setup.guards.circuit(MERMAID) is not CircuitState.OPEN
    await setup.provider.invoke(invocation())
    states = [CircuitState.OPEN, CircuitState.HALF_OPEN, CircuitState.CLOSED]
    assert setup.observer.circuits == [(MERMAID, state) for state in states]


@pytest.mark.parametrize(("provider", "endpoint"), [("openai", ""), ("local", "https://own.example/v1")])
async def test_a_success_is_told_where_probes_do_not_tell(provider: str, endpoint: str) -> None:
    setup = GuardSetup(picture, provider=provider)
    await setup.provider.invoke(replace(invocation(), endpoint=endpoint, owner_tenant_id="tenant-a"))
    assert setup.observer.successes == [CapabilityKey("mermaid@local", "tenant-a")]


async def test_a_success_of_a_local_tool_and_a_failure_are_not_told() -> None:
    setup = GuardSetup(picture)
    await setup.provider.invoke(invocation())
    failed = GuardSetup(failing(Failure.UNAVAILABLE), provider="openai", failures=2)
    await failed.failure()
    assert (setup.observer.successes, failed.observer.successes) == ([], [])


async def test_bad_requests_do_not_open_a_circuit() -> None:
    setup = GuardSetup(failing(Failure.INVALID_INPUT))
    for _ in range(10):
        assert (await setup.failure()).reason is Failure.INVALID_INPUT


async def test_what_the_caller_named_may_fail_without_opening_the_circuit() -> None:
    def script(_: Invocation) -> InvocationResult:
        raise ProviderError(Failure.UNAVAILABLE, "the page answered 503", origin=FailureOrigin.CALLER)

    setup = GuardSetup(script, tries=3, max_retry_wait_s=0.01)
    for _ in range(10):
        assert (await setup.failure()).message == "the page answered 503"
    assert len(setup.inner.invocations) == 10
    assert setup.guards.circuit(MERMAID) is CircuitState.CLOSED


async def test_a_failure_that_consumed_something_is_not_paid_for_twice() -> None:
    def script(_: Invocation) -> InvocationResult:
        raise ProviderError(Failure.UNAVAILABLE, "no answer", usage=Usage(output_tokens=9))

    setup = GuardSetup(script, tries=3, max_retry_wait_s=0.01)
    assert (await setup.failure()).usage == Usage(output_tokens=9)
    assert len(setup.inner.invocations) == 1


async def test_tenants_share_the_retries_that_a_provider_bears() -> None:
    setup = GuardSetup(failing(Failure.UNAVAILABLE), tries=2, max_retry_wait_s=0.0, failures=1_000)
    for number in range(50):
        with pytest.raises(ProviderError):
            await setup.provider.invoke(replace(invocation(), tenant_id=f"tenant-{number}"))
    assert len(setup.inner.invocations) <= 50 * 1.2 + 10


async def test_retry_budgets_of_names_that_tenants_choose_are_bounded() -> None:
    setup = GuardSetup(picture)
    for number in range(5_000):
        await setup.provider.invoke(replace(invocation(), tool_id=f"tool-{number}"))
    assert len(setup.guards._budgets) <= 4_096


async def test_a_place_is_held_before_the_invocation_is_known() -> None:
    setup = GuardSetup(picture, slots=1)
    with setup.provider.try_acquire("mermaid", "local", "tenant-a") as slot:
        with pytest.raises(ProviderBusyError):
            await setup.provider.invoke(invocation())
        assert (await slot.invoke(invocation())).model == "m-1"


async def test_a_busy_provider_says_so_at_once_and_nobody_is_blamed() -> None:
    setup = GuardSetup(picture, slots=1, failures=1)
    with setup.provider.try_acquire("mermaid", "local", "tenant-a"):
        for _ in range(3):
            with pytest.raises(ProviderBusyError):
                await setup.provider.invoke(invocation())
    assert (setup.inner.invocations, setup.guards.circuit(MERMAID)) == ([], CircuitState.CLOSED)


async def test_tools_of_this_machine_do_not_share_places() -> None:
    setup = GuardSetup(picture, slots=1)
    other = GuardedProvider(setup.inner, setup.guards, "d2")
    with setup.provider.try_acquire("mermaid", "local", "a"), other.try_acquire("mermaid", "local", "b"):
        pass


async def test_capabilities_of_one_tool_share_its_places_whatever_provider_they_name() -> None:
    setup = GuardSetup(picture, slots=1)
    with setup.provider.try_acquire("mermaid", "studio", "a"), pytest.raises(ProviderBusyError):
        await setup.provider.invoke(invocation())


async def test_an_endpoint_of_ones_own_takes_no_place_of_the_provider() -> None:
    setup = GuardSetup(picture, slots=1)
    remote = GuardedProvider(ScriptedProvider("openai", picture), setup.guards, "openai_chat")
    with remote.try_acquire("mermaid", "openai", "a", "https://own.example"):
        await remote.invoke(replace(invocation(), tool_id="gpt", provider="openai"))


async def test_a_provider_with_a_capacity_of_its_own_is_held_to_that() -> None:
    class Single(ScriptedProvider):
        capacity = Capacity(1, 1)

    setup = GuardSetup(picture, slots=4)
    single = GuardedProvider(Single("local"), setup.guards, "single")
    with single.try_acquire("mermaid", "local", "a"), pytest.raises(ProviderBusyError):
        await single.invoke(invocation())


def test_a_guarded_catalogue_has_the_same_adapters() -> None:
    catalogue = GuardedCatalogue(ScriptedCatalogue({"mermaid": ScriptedProvider("local")}), GuardSetup(picture).guards)
    assert catalogue.provider("mermaid") is not None
    assert catalogue.provider("nothing") is None
