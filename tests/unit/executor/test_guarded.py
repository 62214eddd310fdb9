"""What stands around every provider."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from mesh.clock import SystemClock
from mesh.ids import rng
from mesh.testing.clock import FakeClock
from mesh.testing.contract import eventually
from svc_executor.adapters.guarded import GuardedCatalogue, GuardedProvider, GuardLimits, Guards
from svc_executor.adapters.memory.peers import MemoryMeter, MemoryRegistry
from svc_executor.domain.provider import Failure, Invocation, InvocationResult, ProviderError
from tests.unit.executor.rig import ScriptedProvider, Shelf, picture

if TYPE_CHECKING:
    from mesh.clock import Clock

Script = Callable[[Invocation], InvocationResult]


class Stand:
    """A guarded provider, and all that its guards tell."""

    def __init__(self, script: Script, clock: Clock | None = None, **limits: float) -> None:
        self.inner = ScriptedProvider("local", script)
        self.registry = MemoryRegistry()
        self.meter = MemoryMeter()
        self.guards = Guards(
            GuardLimits(**{"tries": 1, **limits}),  # type: ignore[arg-type]
            self.registry,
            self.meter,
            clock or SystemClock(),
            rng=rng(1),
        )
        self.provider = GuardedProvider(self.inner, self.guards)

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
    stand = Stand(picture)
    assert (await stand.provider.invoke(invocation())).model == "m-1"


async def test_a_passing_failure_is_tried_again_under_the_same_key() -> None:
    stand = Stand(failing(Failure.UNAVAILABLE, times=1), tries=2, patience_s=0.01)
    assert (await stand.provider.invoke(invocation())).model == "m-1"
    assert [call.idempotency_key for call in stand.inner.invocations] == ["key", "key"]


@pytest.mark.parametrize("reason", [Failure.INVALID_INPUT, Failure.CONTENT_REJECTED, Failure.AUTH_FAILED])
async def test_what_waiting_would_not_mend_is_not_tried_again(reason: Failure) -> None:
    stand = Stand(failing(reason), tries=3, patience_s=0.01)
    assert (await stand.failure()).reason is reason
    assert len(stand.inner.invocations) == 1


async def test_a_provider_that_asks_for_a_long_wait_is_left() -> None:
    stand = Stand(failing(Failure.RATE_LIMITED, retry_after_s=30), tries=3, patience_s=1.0)
    assert (await stand.failure()).retry_after_s == 30
    assert len(stand.inner.invocations) == 1


async def test_a_provider_that_does_not_answer_is_cut_off() -> None:
    class Silent(ScriptedProvider):
        async def invoke(self, invocation: Invocation) -> InvocationResult:
            await asyncio.Event().wait()
            return picture(invocation)

    stand = Stand(picture)
    stand.provider = GuardedProvider(Silent("local"), stand.guards)
    failure = await stand.failure(timeout_s=0.05)
    assert failure.reason is Failure.TIMEOUT
    assert "mermaid@local" in failure.message


async def test_five_failures_open_the_circuit_and_tell_meter_and_registry() -> None:
    stand = Stand(failing(Failure.UNAVAILABLE))
    for _ in range(5):
        await stand.failure()
    refused = await stand.failure()
    assert refused.reason is Failure.UNAVAILABLE
    assert refused.retry_after_s is not None
    assert len(stand.inner.invocations) == 5
    assert stand.guards.is_open("mermaid@local")
    assert "breaker mermaid@local open" in stand.meter.entries
    await eventually(lambda: bool(stand.registry.reports))
    (report,) = stand.registry.reports
    assert (report.healthy, report.circuit_open) == (False, True)


async def test_a_circuit_closes_again_when_the_provider_recovered() -> None:
    clock = FakeClock()
    stand = Stand(failing(Failure.UNAVAILABLE, times=5), clock, recovery_s=60.0)
    for _ in range(5):
        await stand.failure()
    await clock.advance(60.0)
    assert not stand.guards.is_open("mermaid@local")
    await stand.provider.invoke(invocation())
    await eventually(lambda: len(stand.registry.reports) == 2)
    assert stand.registry.reports[-1].healthy
    assert [entry.rpartition(" ")[2] for entry in stand.meter.entries] == ["open", "half_open", "closed"]


async def test_bad_requests_do_not_open_a_circuit() -> None:
    stand = Stand(failing(Failure.INVALID_INPUT))
    for _ in range(10):
        assert (await stand.failure()).reason is Failure.INVALID_INPUT


async def test_a_provider_gets_no_more_calls_at_once_than_it_has_slots() -> None:
    running, most = 0, 0
    release = asyncio.Event()

    class Busy(ScriptedProvider):
        async def invoke(self, invocation: Invocation) -> InvocationResult:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await release.wait()
            running -= 1
            return picture(invocation)

    stand = Stand(picture, slots=2)
    provider = GuardedProvider(Busy("local"), stand.guards)
    calls = [asyncio.create_task(provider.invoke(invocation())) for _ in range(6)]
    await eventually(lambda: running == 2)
    release.set()
    await asyncio.gather(*calls)
    assert most == 2


class Held(ScriptedProvider):
    """Works on what it was asked for until it is released."""

    def __init__(self) -> None:
        super().__init__("local")
        self.at_work: list[Invocation] = []
        self.release = asyncio.Event()

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        self.at_work.append(invocation)
        await self.release.wait()
        return picture(invocation)


async def test_a_tenant_leaves_a_place_for_another() -> None:
    stand, held = Stand(picture, slots=2, tenant_slots=1), Held()
    provider = GuardedProvider(held, stand.guards)
    calls = [asyncio.create_task(provider.invoke(invocation())) for _ in range(5)]
    await eventually(lambda: len(held.at_work) == 1)
    calls.append(asyncio.create_task(provider.invoke(replace(invocation(), tenant_id="tenant-b"))))
    await eventually(lambda: len(held.at_work) == 2)
    assert [call.tenant_id for call in held.at_work] == ["tenant-a", "tenant-b"]
    held.release.set()
    await asyncio.gather(*calls)
    assert len(held.at_work) == 6


async def test_tools_of_this_machine_do_not_share_places() -> None:
    stand, held = Stand(picture, slots=1), Held()
    provider = GuardedProvider(held, stand.guards)
    calls = [asyncio.create_task(provider.invoke(replace(invocation(), tool_id=tool))) for tool in ("mermaid", "d2")]
    await eventually(lambda: len(held.at_work) == 2)
    held.release.set()
    await asyncio.gather(*calls)


async def test_who_waits_for_a_place_too_long_is_told_so_and_nobody_is_blamed() -> None:
    stand, held = Stand(picture, slots=1, failures=1), Held()
    stand.provider = GuardedProvider(held, stand.guards)
    first = asyncio.create_task(stand.provider.invoke(invocation(timeout_s=60)))
    await eventually(lambda: len(held.at_work) == 1)
    refused = await stand.failure(timeout_s=0.05)
    assert (refused.reason, refused.blamed) == (Failure.UNAVAILABLE, False)
    assert "busy" in refused.message
    held.release.set()
    await first
    assert not stand.guards.is_open("mermaid@local")


async def test_what_the_caller_named_may_fail_without_opening_the_circuit() -> None:
    def script(_: Invocation) -> InvocationResult:
        raise ProviderError(Failure.UNAVAILABLE, "the page answered 503", blamed=False)

    stand = Stand(script, tries=3, patience_s=0.01)
    for _ in range(10):
        assert (await stand.failure()).message == "the page answered 503"
    assert len(stand.inner.invocations) == 10
    assert not stand.guards.is_open("mermaid@local")


def test_a_guarded_catalogue_has_the_same_adapters() -> None:
    catalogue = GuardedCatalogue(Shelf({"mermaid": ScriptedProvider("local")}), Stand(picture).guards)
    assert catalogue.provider("mermaid") is not None
    assert catalogue.provider("nothing") is None
