"""What stands around every provider, once: slots, deadline, circuit breaker, retry with a budget."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from mesh import overhead, tracing
from mesh.errors import SomaError
from mesh.resilience import CircuitBreaker, CircuitState, Deadline, RetryBudget, retry
from svc_executor.domain.peers import HealthReport
from svc_executor.domain.provider import Failure, ProviderError
from svc_executor.domain.task_dsl import StepType

if TYPE_CHECKING:
    import random
    from contextlib import AbstractContextManager

    from mesh.clock import Clock
    from svc_executor.domain.peers import Registry
    from svc_executor.domain.ports import Catalogue, Meter
    from svc_executor.domain.provider import Invocation, InvocationResult, ProbeResult, Provider

_log = logging.getLogger(__name__)
_BLAMED = frozenset({Failure.UNAVAILABLE, Failure.TIMEOUT})
_REPORT_S = 10.0
_LOCAL = "local"


@dataclass(frozen=True)
class GuardLimits:
    """How a provider is guarded. Times are in seconds; `patience_s` is the longest wait that a retry is worth.

    `slots` calls run at once, and `tenant_slots` of them for one tenant, so that another always finds a place.
    """

    slots: int = 4
    tenant_slots: int = 3
    tries: int = 2
    failures: int = 5
    recovery_s: float = 60.0
    patience_s: float = 1.0


class Guards:
    """Slots by provider, breakers and retry budgets by capability; tells meter and registry of opened circuits.

    A provider's limits are those of an account or a server with it; each tool of this machine stands for itself.
    """

    def __init__(
        self, limits: GuardLimits, registry: Registry, meter: Meter, clock: Clock, *, rng: random.Random
    ) -> None:
        self._limits = limits
        self._registry = registry
        self._meter = meter
        self._clock = clock
        self._rng = rng
        self._slots: dict[str, asyncio.Semaphore] = {}
        # A tenant's are kept while somebody holds or awaits one.
        self._tenant_slots = WeakValueDictionary[tuple[str, str], asyncio.Semaphore]()
        self._breakers: dict[str, CircuitBreaker] = {}
        self._budgets: dict[str, RetryBudget] = {}
        self._reports: set[asyncio.Task[None]] = set()

    def is_open(self, capability_id: str) -> bool:
        """Whether calls of a capability are held back now."""
        breaker = self._breakers.get(capability_id)
        return breaker is not None and breaker.state is CircuitState.OPEN

    async def invoke(self, inner: Provider, invocation: Invocation) -> InvocationResult:
        """Invoke within slot, deadline, circuit and retry budget; raises ProviderError."""
        name = f"{invocation.tool_id}@{invocation.provider}"
        breaker = self._breaker(name)
        async with AsyncExitStack() as stack:
            await self._enter(stack, invocation, name)
            try:
                async with asyncio.timeout(invocation.timeout_s):
                    return await retry(
                        lambda: breaker.call(lambda: inner.invoke(invocation)),
                        clock=self._clock,
                        rng=self._rng,
                        budget=self._budgets.setdefault(name, RetryBudget()),
                        attempts=self._limits.tries,
                        base_s=self._limits.patience_s / 4,
                        cap_s=self._limits.patience_s,
                        deadline=Deadline.within(invocation.timeout_s, self._clock),
                        retryable=self._worth_a_retry,
                    )
            except TimeoutError:
                raise ProviderError(
                    Failure.TIMEOUT, f"{name} did not answer within {invocation.timeout_s:g} seconds"
                ) from None
            except SomaError as refused:  # the circuit is open
                raise ProviderError(Failure.UNAVAILABLE, refused.message, retry_after_s=refused.retry_after_s) from None

    def upstream(self) -> AbstractContextManager[None]:
        """Count the enclosed time as a provider's."""
        return overhead.upstream(self._clock)

    async def aclose(self) -> None:
        """Give reports under way a moment to arrive."""
        if self._reports:
            await asyncio.wait(set(self._reports), timeout=_REPORT_S)

    def _worth_a_retry(self, error: Exception) -> bool:
        if not isinstance(error, ProviderError) or error.reason is Failure.TIMEOUT or not error.blamed:
            return False
        return error.retryable and (error.retry_after_s or 0.0) <= self._limits.patience_s

    async def _enter(self, stack: AsyncExitStack, invocation: Invocation, name: str) -> None:
        """Wait for a place, no longer than the call itself may take: the tenant's own first."""
        pool = name if invocation.provider == _LOCAL else invocation.provider
        own = self._tenant_slots.setdefault((pool, invocation.tenant_id), asyncio.Semaphore(self._limits.tenant_slots))
        shared = self._slots.setdefault(pool, asyncio.Semaphore(self._limits.slots))
        try:
            async with asyncio.timeout(invocation.timeout_s):
                await stack.enter_async_context(own)
                await stack.enter_async_context(shared)
        except TimeoutError:
            raise ProviderError(
                Failure.UNAVAILABLE, f"{name} was busy for {invocation.timeout_s:g} seconds", blamed=False
            ) from None

    def _breaker(self, name: str) -> CircuitBreaker:
        if name not in self._breakers:
            self._breakers[name] = CircuitBreaker(
                name,
                self._clock,
                failures=self._limits.failures,
                recovery_s=self._limits.recovery_s,
                counts=_blames_provider,
                on_transition=self._moved,
            )
        return self._breakers[name]

    def _moved(self, name: str, before: CircuitState, after: CircuitState) -> None:
        _log.warning("circuit of %s goes from %s to %s", name, before, after)
        self._meter.breaker(name, after.value)
        if after is CircuitState.HALF_OPEN:
            return
        opened = after is CircuitState.OPEN
        reason = "it failed repeatedly and is left alone for a while" if opened else ""
        task = asyncio.create_task(self._report(HealthReport(name, not opened, reason, opened)))
        self._reports.add(task)
        task.add_done_callback(self._reports.discard)

    async def _report(self, report: HealthReport) -> None:
        try:
            async with asyncio.timeout(_REPORT_S):
                await self._registry.report_health(report)
        except (SomaError, TimeoutError) as error:
            _log.warning("health of %s could not be reported: %s", report.capability_id, error)


class GuardedProvider:
    """A `Provider` behind guards."""

    def __init__(self, inner: Provider, guards: Guards) -> None:
        self.provider = inner.provider
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

    async def probe(self) -> ProbeResult:
        """See the port; probes are not held back."""
        return await self._inner.probe()

    async def aclose(self) -> None:
        """See the port."""
        await self._inner.aclose()


class GuardedCatalogue:
    """A `Catalogue` whose providers are guarded."""

    def __init__(self, inner: Catalogue, guards: Guards) -> None:
        self._inner = inner
        self._guards = guards

    def provider(self, adapter: str) -> GuardedProvider | None:
        """See the port."""
        found = self._inner.provider(adapter)
        return None if found is None else GuardedProvider(found, self._guards)


def _title(invocation: Invocation) -> str:
    if invocation.step_type == StepType.COMPOSE_DOCUMENT:
        return "document_composition"
    return f"{_operation(invocation)} {invocation.model or invocation.tool_id}"


def _attributes(invocation: Invocation) -> dict[str, str]:
    """Names of the OpenTelemetry conventions for generative AI; what was asked and answered is not among them."""
    about = {
        "gen_ai.operation.name": _operation(invocation),
        "gen_ai.provider.name": invocation.provider,
        "soma.capability_id": f"{invocation.tool_id}@{invocation.provider}",
        "soma.task_type": invocation.task_type,
    }
    if invocation.model:
        return {**about, "gen_ai.system": invocation.provider, "gen_ai.request.model": invocation.model}
    return {**about, "gen_ai.tool.name": invocation.tool_id}


def _operation(invocation: Invocation) -> str:
    if not invocation.model:
        return "execute_tool"
    return "chat" if invocation.step_type == StepType.GENERATE_TEXT else "generate_content"


def _blames_provider(error: Exception) -> bool:
    return not isinstance(error, ProviderError) or (error.blamed and error.reason in _BLAMED)
