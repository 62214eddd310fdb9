"""What stands around every provider, once: slots, deadline, circuit breakers, retry with a budget."""

from __future__ import annotations

import asyncio
import logging
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from mesh import overhead, tracing
from mesh.errors import SomaError
from mesh.lru import LruMap
from mesh.resilience import CircuitState, Deadline, RetryBudget, retry
from soma_providers.port import CapabilityKey, Failure, FailureOrigin, LimitedProvider, ProviderError
from soma_providers.runtime.circuits import Circuits
from soma_providers.runtime.estimates import estimate_of
from soma_providers.runtime.slots import ProviderSlots

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from mesh.clock import Clock
    from soma_providers.port import (
        Capacity,
        Catalogue,
        EstimateRequest,
        Invocation,
        InvocationResult,
        ProbeResult,
        Provider,
        ProviderSlot,
        Usage,
    )

_log = logging.getLogger(__name__)
_BUDGETS = 4_096
# An adapter keeps the deadline itself, and knows best what was consumed until then.
_GRACE_S = 1.0
_LOCAL = "local"
_COMPOSE_DOCUMENT, _GENERATE_TEXT = "compose_document", "generate_text"


@dataclass(frozen=True)
class GuardLimits:
    """How a provider is guarded. Times are in seconds; `max_retry_wait_s` is the longest wait that a retry is worth.

    `slots` calls run at once, and `tenant_slots` of them for one tenant, so that another always finds a slot; one
    tenant has `max_total_per_tenant` at all providers together. `failures` within `window_s` open a circuit.
    """

    slots: int = 4
    tenant_slots: int = 3
    max_total_per_tenant: int = 16
    tries: int = 2
    failures: int = 5
    window_s: float = 10.0
    recovery_s: float = 60.0
    max_retry_wait_s: float = 1.0


class GuardObserver(Protocol):
    """Hears what the guards learn of capabilities. Whoever hosts the providers counts and reports it."""

    def circuit_changed(self, capability: CapabilityKey, state: CircuitState) -> None:
        """The platform-wide circuit of a capability has another state."""

    def succeeded(self, capability: CapabilityKey) -> None:
        """A call succeeded of a capability whose probes do not tell how it fares."""

    def tenant_circuits(self, open_now: Callable[[], Mapping[CapabilityKey, int]]) -> None:
        """Gives what counts the tenants with an open circuit of their own, by capability, whenever it is called."""


class Guards:
    """ProviderSlots by provider, breakers and retry budgets by capability; tells an observer of opened circuits.

    A provider's limits are those of an account or a server with it; each tool of this machine stands for itself.
    `is_heavy` tells which tenants used much processor time of this machine lately.
    """

    def __init__(
        self, limits: GuardLimits, observer: GuardObserver, clock: Clock, *,
        rng: random.Random, is_heavy: Callable[[str], bool] = lambda _: False,
    ) -> None:  # fmt: skip
        self._limits = limits
        self._observer = observer
        self._clock = clock
        self._rng = rng
        self._provider_slots = ProviderSlots(
            limits.slots, limits.tenant_slots, limits.max_total_per_tenant, clock, is_heavy
        )
        self._circuits = Circuits(
            clock,
            self._circuit_changed,
            failures=limits.failures,
            window_s=limits.window_s,
            recovery_s=limits.recovery_s,
        )
        observer.tenant_circuits(self._circuits.open_tenants)
        self._budgets = LruMap[CapabilityKey, RetryBudget](_BUDGETS)

    def circuit(self, capability: CapabilityKey) -> CircuitState:
        """The state of a capability's platform-wide circuit: calls are held back while it is open."""
        return self._circuits.state(capability)

    def acquire(
        self, pool: str, tenant_id: str, capacity: Capacity | None, capability_id: str
    ) -> AbstractContextManager[None]:
        """Hold a slot for a call; raises ProviderBusyError at once when none is free."""
        return self._provider_slots.acquire(pool, tenant_id, capacity, named=capability_id)

    async def invoke(self, inner: Provider, invocation: Invocation) -> InvocationResult:
        """Invoke within deadline, circuits and retry budget; raises ProviderError.

        A success tells how the capability fares where its probes do not: at an endpoint of its own, and remotely.
        """
        deadline = Deadline.within(invocation.timeout_s, self._clock)
        try:
            result = await retry(
                lambda: self._once(inner, invocation, deadline),
                clock=self._clock,
                rng=self._rng,
                budget=self._budgets.get_or_create(invocation.capability, RetryBudget),
                attempts=self._limits.tries,
                base_s=self._limits.max_retry_wait_s / 4,
                cap_s=self._limits.max_retry_wait_s,
                deadline=deadline,
                retryable=self._is_worth_retrying,
            )
        except SomaError as refused:  # a circuit is open
            raise ProviderError(
                Failure.UNAVAILABLE, refused.message, retry_after_s=refused.retry_after_s, origin=FailureOrigin.PLATFORM
            ) from None
        if invocation.endpoint or inner.provider != _LOCAL:
            self._observer.succeeded(invocation.capability)
        return result

    async def _once(self, inner: Provider, invocation: Invocation, deadline: Deadline) -> InvocationResult:
        async with self._circuits.guard(invocation.capability, invocation.tenant_id):
            try:
                remaining = deadline.remaining()
                async with asyncio.timeout(remaining + min(_GRACE_S, remaining / 10)):
                    return await inner.invoke(replace(invocation, timeout_s=remaining))
            except TimeoutError:
                # What runs on this machine is slow because of what it was given.
                origin = FailureOrigin.CALLER if inner.provider == _LOCAL else FailureOrigin.PROVIDER
                name = invocation.capability.capability_id
                raise ProviderError(
                    Failure.TIMEOUT, f"{name} did not answer within {invocation.timeout_s:g} seconds", origin=origin
                ) from None

    def upstream(self) -> AbstractContextManager[None]:
        """Count the enclosed time as a provider's."""
        return overhead.upstream(self._clock)

    def _is_worth_retrying(self, error: Exception) -> bool:
        """Whether the same call may soon succeed; one that consumed something is not paid for twice."""
        if not isinstance(error, ProviderError) or error.usage is not None:
            return False
        passing = error.reason is Failure.RATE_LIMITED or (
            error.reason is Failure.UNAVAILABLE and error.origin is FailureOrigin.PROVIDER
        )
        return passing and (error.retry_after_s or 0.0) <= self._limits.max_retry_wait_s

    def _circuit_changed(self, capability: CapabilityKey, before: CircuitState, after: CircuitState) -> None:
        _log.warning("circuit of %s goes from %s to %s", capability.capability_id, before, after)
        self._observer.circuit_changed(capability, after)


class GuardedProvider:
    """A `Provider` behind guards, known as `adapter`."""

    def __init__(self, inner: Provider, guards: Guards, adapter: str) -> None:
        self.provider = inner.provider
        self._inner = inner
        self._guards = guards
        self._adapter = adapter

    @contextmanager
    def try_acquire(self, tool_id: str, provider: str, tenant_id: str, endpoint: str = "") -> Iterator[ProviderSlot]:
        """Hold a slot for one invocation of a capability; raises ProviderBusyError at once when none is free."""
        pool = self._adapter if self.provider == _LOCAL else f"{provider} {endpoint}".rstrip()
        capacity = self._inner.capacity if isinstance(self._inner, LimitedProvider) else None
        with self._guards.acquire(pool, tenant_id, capacity, f"{tool_id}@{provider}"):
            yield _AcquiredSlot(self._inner, self._guards)

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        """Raises ProviderBusyError at once when no slot is free."""
        with self.try_acquire(
            invocation.tool_id, invocation.provider, invocation.tenant_id, invocation.endpoint
        ) as slot:
            return await slot.invoke(invocation)

    def estimate(self, request: EstimateRequest) -> Usage:
        """What the provider says, else the default."""
        return estimate_of(self._inner, self._adapter, request)

    async def probe(self) -> ProbeResult:
        """Probes are not held back."""
        return await self._inner.probe()

    async def aclose(self) -> None:
        """See the port."""
        await self._inner.aclose()


class _AcquiredSlot:
    """A `ProviderSlot`."""

    def __init__(self, inner: Provider, guards: Guards) -> None:
        self._inner = inner
        self._guards = guards

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        """See the port."""
        with tracing.span(_title(invocation), _attributes(invocation), tracing.CLIENT) as span:
            try:
                with self._guards.upstream():
                    result = await self._guards.invoke(self._inner, invocation)
            except ProviderError as error:
                span.set_attribute("error.type", error.reason.value)
                raise
            if invocation.model:
                span.set_attribute("gen_ai.response.model", result.model)
                span.set_attribute("gen_ai.usage.input_tokens", result.usage.input_tokens)
                span.set_attribute("gen_ai.usage.output_tokens", result.usage.output_tokens)
            return result


class GuardedCatalogue:
    """A `Catalogue` whose providers are guarded."""

    def __init__(self, inner: Catalogue, guards: Guards) -> None:
        self._inner = inner
        self._guards = guards

    def provider(self, adapter: str) -> GuardedProvider | None:
        """See the port."""
        found = self._inner.provider(adapter)
        return None if found is None else GuardedProvider(found, self._guards, adapter)


def _title(invocation: Invocation) -> str:
    if invocation.step_type == _COMPOSE_DOCUMENT:
        return "document_composition"
    return f"{_operation(invocation)} {invocation.model or invocation.tool_id}"


def _attributes(invocation: Invocation) -> dict[str, str]:
    """Names of the OpenTelemetry conventions for generative AI; what was asked and answered is not among them."""
    about = {
        "gen_ai.operation.name": _operation(invocation),
        "gen_ai.provider.name": invocation.provider,
        "soma.capability_id": invocation.capability.capability_id,
        "soma.task_type": invocation.task_type,
    }
    if invocation.model:
        return {**about, "gen_ai.system": invocation.provider, "gen_ai.request.model": invocation.model}
    return {**about, "gen_ai.tool.name": invocation.tool_id}


def _operation(invocation: Invocation) -> str:
    if not invocation.model:
        return "execute_tool"
    return "chat" if invocation.step_type == _GENERATE_TEXT else "generate_content"
